"""A trial says in words what became of it, and what is to be looked at."""

import pytest

from chappe_sender.application.trial import told
from chappe_sender.domain.outcome import HandOverError, InDoubt, NotSent, Refused, Reply, Stage


@pytest.mark.parametrize(
    ("verdict", "outcome", "words"),
    [
        (Reply(250, "2.0.0", "queued"), "taken", "took the mail"),
        (NotSent(Stage.CONNECT, "refused"), "unreachable", "not reached"),
        (NotSent(Stage.TLS, "no STARTTLS"), "unreachable", "TLS or the login"),
        (NotSent(Stage.AUTH, "in clear"), "unreachable", "TLS or the login"),
        (Refused(Stage.AUTH, Reply(535, "5.7.8", "no")), "refused", "the user or the password"),
        (Refused(Stage.AUTH, Reply(454, "4.7.0", "later")), "refused", "cannot check"),
        (Refused(Stage.RCPT, Reply(550, "5.1.1", "who?")), "refused", "this mail"),
        (InDoubt(Stage.VERDICT, "silence"), "in_doubt", "may have been sent"),
    ],
)
def test_a_trial_says_what_is_to_be_looked_at(
    verdict: Reply | HandOverError, outcome: str, words: str
) -> None:
    trial = told(verdict, "hello@shop.example")
    assert trial.outcome == outcome
    assert words in trial.meaning
