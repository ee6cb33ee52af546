"""Which metrics, labels and label values an expression of PromQL names.

Enters: an expression as it stands in a rule, a panel or the runbook. Leaves: its metrics, each with the labels it is matched by,
or the values they are matched with.
Whether it parses is promtool's to say; this only has to find the names in what does.

Invariant: no name is passed over silently: whatever is neither keyword, function, label list nor number counts as a metric.
"""

import re

STRING = re.compile(r'"(?:\\.|[^"\\])*"')
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
WHOLE = re.compile(r'([a-zA-Z_:][\w:]*)\s*\{((?:[^}"]|"(?:\\.|[^"\\])*")*)\}')
PLAIN = re.compile(r'(\w+)\s*=~?\s*"([\w.|]+)"')
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+-?\w+|@\s*\S+")
NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)(\s*\()?")
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset", "inf", "nan", "group_left", "group_right",
            "sum", "min", "max", "avg", "count", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values", "group"}


def metrics(expression):
    """The metrics of an expression, each with the set of labels it is matched by."""
    bare = STRING.sub('""', expression)
    found = {}
    for name, matchers in SELECTOR.findall(bare):
        found.setdefault(name, set()).update(MATCHER.findall(matchers))
    bare = RANGE.sub(" ", LABEL_LIST.sub(" ", re.sub(r"\{[^}]*\}", " ", bare)))
    for name, call in NAME.findall(bare):
        if not call and name.lower() not in KEYWORDS:
            found.setdefault(name, set())
    return found


def values(expression):
    """Words that labels are matched with: (metric, label, words). Patterns that are more than words with `|` between are left out."""
    return [(name, label, words.split("|")) for name, matchers in WHOLE.findall(expression)
            for label, words in PLAIN.findall(matchers)]
