import pytest
import taskloom


def test_package_has_a_version() -> None:
    assert taskloom.__version__


def test_an_error_asked_for_in_the_wrong_place_says_where_it_is() -> None:
    with pytest.raises(AttributeError, match=r"it is taskloom\.errors\.QueueFull"):
        taskloom.QueueFull  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'Nothing'$"):
        taskloom.Nothing  # type: ignore[attr-defined]  # noqa: B018
