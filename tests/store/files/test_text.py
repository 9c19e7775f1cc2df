"""Sizes, counts, lists, errors and tables as people read them."""

import pytest

from vadprobe.store.files import text as texts


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9994, "9.99 kB"), (9996, "10.0 kB"), (999_499, "999 kB"),
     (999_500, "1.00 MB"), (4_200_000, "4.20 MB"), (1_234_567_890_123, "1.23 TB"), (5 * 10**18, "5,000 PB")],
)  # fmt: skip
def test_sizes_in_words(n_bytes, text):
    assert texts.size_text(n_bytes) == text


def test_counts_and_short_texts():
    assert (texts.counted(1, "row"), texts.counted(1024, "row")) == ("1 row", "1,024 rows")
    assert texts.counted(0, "copy", "copies") == "0 copies"
    assert texts.short("a  b\nc") == "a b c"
    assert texts.short("x" * 200, 10) == "x" * 9 + "…"


def test_lists_name_the_first_and_count_the_others():
    assert (texts.first_few([]), texts.first_few("abc"), texts.first_few("abcd")) == (
        "",
        "a, b, c",
        "a, b, c and 1 more",
    )
    assert texts.first_few(range(1025), 1) == "0 and 1,024 more"


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([7], "7"), ([0, 1, 2, 3, 7], "0-3, 7"), ([1, 3, 4], "1, 3-4"), (range(3), "0-2")]
)
def test_neighbours_are_one_range(numbers, text):
    assert texts.ranges(numbers) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("\n the first  line\nthe second"), "the first line"),
        (ValueError("x" * 300), "x" * 199 + "…"),
        (ValueError(), "ValueError"),
        (ValueError("half \ud800"), "half \\ud800"),
        (FileNotFoundError(2, "No such file or directory", "/a/path"), "No such file or directory"),
        (OSError("no number"), "no number"),
    ],
)
def test_errors_are_one_short_line(error, text):
    assert texts.error_text(error) == text


def test_text_is_visible_anywhere():
    assert texts.visible("é \udcff") == "é \\udcff"


def test_columns_are_aligned():
    rows = [("long", 1), ("b", 10000)]
    assert texts.table(("a", "size"), rows, right=("size",)) == ["a      size", "long      1", "b     10000"]
    assert texts.table(("a", "size"), []) == ["a  size"]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        texts.table(("a", "size"), [("one",)])


def test_markdown_cells_keep_to_their_cells():
    found = texts.markdown_table(("a", "size"), [("x|y\nz", 1)], right=("size",))
    assert found == ["| a | size |", "| --- | ---: |", "| x\\|y z | 1 |"]
