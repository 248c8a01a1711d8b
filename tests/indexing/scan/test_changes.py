from cocasearch.indexing.scan.changes import Change, format_counts


def test_counts_are_told_in_their_order_and_without_zeros():
    assert format_counts({"new": 2, "moved": 0, "gone": 1}) == "2 new, 1 gone"
    assert format_counts({"new": 0}) == "nothing to do"


def test_each_kind_has_a_word_of_its_own_in_a_plan_and_after_it():
    assert len({change.planned for change in Change}) == len({change.value for change in Change}) == len(Change)
