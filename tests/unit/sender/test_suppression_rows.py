"""Suppression lists as mail providers export them."""

import datetime as dt

import pytest

from chappe.clock import UTC
from chappe_sender.domain.suppression_rows import BadRow, NoTable, SuppressionRow, table_of

AT = dt.datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)


def rows(content: str, reason: str | None = None) -> list[SuppressionRow | BadRow | None]:
    return list(table_of(content.encode(), reason=reason))


@pytest.mark.parametrize(
    ("vendor", "head", "row", "reason"),
    [
        (
            "ours",
            "email,reason,at,source",
            "a@x.example,bounced,2025-03-04T05:06:07Z,old",
            "bounced",
        ),
        (
            "mailchimp unsubscribed",
            '"Email Address","First Name",UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON',
            'a@x.example,Ann,"2025-03-04 05:06:07",News,"NORMAL"',
            "unsubscribed",
        ),
        (
            "mailchimp cleaned",
            '"Email Address",CLEAN_TIME,CLEAN_CAMPAIGN_TITLE',
            "a@x.example,2025-03-04 05:06:07,News",
            "bounced",
        ),
        (
            "klaviyo",
            "Email,Suppression Reason,Suppressed At",
            "a@x.example,SPAM_COMPLAINT,2025-03-04T05:06:07+00:00",
            "complained",
        ),
        (
            "sendgrid bounces",
            "status,reason,email,created",
            '5.1.1,"550 5.1.1 no such user",a@x.example,1741064767',
            "bounced",
        ),
        ("sendgrid spam reports", "email,ip,created", "a@x.example,1.2.3.4,1741064767", "manual"),
        (
            "postmark",
            "EmailAddress,SuppressionReason,Origin,CreatedAt",
            "a@x.example,HardBounce,Recipient,2025-03-04T05:06:07.0000000+00:00",
            "bounced",
        ),
        (
            "ses",
            "EmailAddress,Reason,LastUpdateTime",
            "a@x.example,COMPLAINT,2025-03-04T05:06:07Z",
            "complained",
        ),
        (
            "mailgun",
            "address,code,error,created_at",
            'a@x.example,550,"Mailbox does not exist","Tue, 04 Mar 2025 05:06:07 UTC"',
            "bounced",
        ),
    ],
)
def test_a_vendor_s_export_is_read_as_it_is(vendor: str, head: str, row: str, reason: str) -> None:
    (found,) = rows(f"{head}\r\n{row}\r\n")
    assert isinstance(found, SuppressionRow), (vendor, found)
    assert (found.address, found.reason, found.at) == ("a@x.example", reason, AT)


def test_the_reason_of_a_list_without_one_is_given_beside_it() -> None:
    (found,) = rows("email\nA@X.example\n", reason="complained")
    assert found == SuppressionRow(2, "a@x.example", "complained", None, None)


def test_a_temporary_failure_suppresses_nobody() -> None:
    (found,) = rows("email,reason\na@x.example,452 4.2.2 mailbox full\n")
    assert isinstance(found, BadRow)
    assert (found.number, found.column, found.cell) == (2, "reason", 2)


def test_bad_rows_are_told_and_the_others_go_on() -> None:
    found = rows("email;at\nnobody;\n\na@x.example;yesterday\nb@x.example;2025-03-04\n")
    assert [type(row) for row in found] == [BadRow, type(None), BadRow, SuppressionRow]
    assert [row.cell for row in found if isinstance(row, BadRow)] == [1, 2]


@pytest.mark.parametrize("content", ["", "name\nA\n", "e\0mail\n"])
def test_what_is_no_list_is_refused(content: str) -> None:
    with pytest.raises(NoTable):
        rows(content)
