from edgeproxy.upstream.budget import WINDOW, RetryBudget


def spend(budget: RetryBudget) -> int:
    count = 0
    while budget.take():
        count += 1
    return count


def test_a_quiet_upstream_may_retry_ten_times_a_second() -> None:
    assert spend(RetryBudget(0.2)) == 100


def test_a_busy_upstream_may_retry_its_share() -> None:
    budget = RetryBudget(0.2)
    budget.requests = 5000
    assert spend(budget) == 1000


def test_a_share_of_nothing_switches_retries_off() -> None:
    assert spend(RetryBudget(0.0)) == 0


def test_what_was_spent_comes_back_after_the_window() -> None:
    budget = RetryBudget(0.2)
    assert spend(budget) == 100
    for _ in range(WINDOW - 1):
        budget.tick()
        assert spend(budget) == 0
    budget.tick()
    assert spend(budget) == 100
    assert repr(budget) == "<RetryBudget 100/100>"


def test_requests_leave_the_window_too() -> None:
    budget = RetryBudget(0.5)
    budget.requests = 1000
    for _ in range(WINDOW):
        budget.tick()
    assert budget.allowed == 100
