import taskloom


def test_package_has_a_version() -> None:
    assert taskloom.__version__
