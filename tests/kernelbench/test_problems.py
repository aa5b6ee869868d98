"""Which problems of a checkout are meant."""

import pathlib
import unittest

import problems


class Selected(unittest.TestCase):
    FOUND = [problems.Problem(level, number, "a", pathlib.Path()) for level in (1, 2) for number in (3, 4, 5, 12)]

    def test_problems_and_ranges_of_them_are_named(self):
        for text, keys in (("", set()), ("1/3", {"1/3"}), ("1/3,2/12", {"1/3", "2/12"}),
                           ("2/4..2/12", {"2/4", "2/5", "2/12"}), ("1/1..1/3,1/4", {"1/3", "1/4"})):
            self.assertEqual(problems.selected(self.FOUND, text), keys, text)

    def test_what_names_none_is_refused(self):
        for text in ("1/6", "3/1", "1/3,2/99", "1/6..1/11", "1/5..1/3", "1/3..2/5", "gelu", "1/", "1/3..", "1/3-1/5"):
            with self.assertRaises(ValueError, msg=text) as refused:
                problems.selected(self.FOUND, text)
            self.assertIn("names none of the problems", str(refused.exception))


unittest.main()
