from tests.e2e.box import chappe


def test_the_demo_scenario_holds() -> None:
    played = chappe("demo", "--once")
    assert played.returncode == 0, played.stdout
    assert "✘" not in played.stdout
    assert "checks hold" in played.stdout.splitlines()[-1]
