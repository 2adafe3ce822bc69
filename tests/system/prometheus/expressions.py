"""Rules and dashboard against config/reference, their tests and a live Prometheus.

usage: expressions.py form              all checks that need no Prometheus
       expressions.py live URL          every expression, on a Prometheus that scrapes under load

Prints how much was checked. Prints one line for each error, and exits with 1 if there are any.
"""

import json
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
REFERENCE = "".join(file.read_text() for file in sorted((ROOT / "config/reference").glob("*.md")))
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "config/prometheus/rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "config/grafana/ndes-proxy.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TESTS = yaml.safe_load((ROOT / "tests/system/prometheus/rules.test.yml").read_text())["tests"]

# Grafana's own variables and those of the dashboard, as in a view of the last minute.
VARIABLES = {"$__rate_interval": "20s", "$__range": "1m", "$application": ".*", "$instance": ".*"}
SELECTOR = re.compile(r"\b((?:ndes_proxy|process|job_reason:|up)\w*[\w:]*)\b(\{[^}]*\})?")


def expressions():
    """(where, PromQL) of all rules, then of all panels."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            yield panel["title"], expr


def selectors(expr):
    """Selectors of the expression, without range and offset."""
    return {name + (labels or "") for name, labels in SELECTOR.findall(expr)}


def anchors(text):
    """The anchors of the headings of a Markdown file, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def form():
    alerts = [rule for rule in RULES if "alert" in rule]
    tested = set()
    for test in TESTS:
        for expectation in test["promql_expr_test"]:
            for sample in expectation["exp_samples"]:
                tested.add(tuple(sorted(re.findall(r'(alertname|severity)="(\w+)"', sample["labels"]))))
    for rule in alerts:
        name, severity = rule["alert"], rule["labels"]["severity"]
        if (("alertname", name), ("severity", severity)) not in tested:
            yield f"{name}, {severity}: no test in which it fires"
        if set(rule["annotations"]) != {"summary", "cure", "runbook"}:
            yield f"{name}: its annotations are not summary, cure and runbook"
        link, *row = rule["annotations"]["runbook"].split(", ")
        file, _, anchor = link.partition("#")
        text = (ROOT / file).read_text()
        if anchor not in anchors(text):
            yield f"{name}: {file} has no heading {anchor!r}"
        for word in row:
            if f"| `{word}` |" not in text:
                yield f"{name}: {file} has no row {word!r}"
    for where, expr in expressions():
        for values in re.findall(r'(?:reason|result|pki_status|enrolment|role|purpose|operation)[!=]~?"([^"]+)"', expr):
            for value in values.split("|"):
                if f"`{value}`" not in REFERENCE:
                    yield f"{where}: {value!r} is no label value in config/reference"
    table = dict(re.findall(r"^\| `(Ndes\w+)` \| ([\w, ]+) \|", REFERENCE, re.M))
    severities = {}
    for rule in alerts:
        severities.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    for name in table.keys() | severities.keys():
        if table.get(name) != ", ".join(severities.get(name, [])):
            yield f"{name}: its severity in config/reference is {table.get(name)}"
    taken = set()
    for panel in PANELS:
        position = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        if cells & taken or position["x"] + position["w"] > 24:
            yield f"{panel['title']}: overlaps another panel"
        taken |= cells
        if not panel["description"] or panel["datasource"]["uid"] != "${datasource}":
            yield f"{panel['title']}: no description, or another data source"
    shown = "".join(target["expr"] for panel in PANELS for target in panel["targets"])
    metrics = set(re.findall(r"^\| `(ndes_proxy_\w+)` \| \w+ \|", REFERENCE, re.M))
    print(
        f"{len({rule['alert'] for rule in alerts})} alerts in {len(alerts)} rules, {len(PANELS)} panels; "
        f"{sum(name in shown for name in metrics)} of {len(metrics)} metrics are shown"
    )


def ask(prometheus, path, **query):
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        return {"error": json.load(error)["error"]}


def live(prometheus):
    rules = {rule.get("alert") or rule["record"] for rule in RULES}
    asked = list(expressions())
    for where, expr in asked:
        found = ask(prometheus, "query", query=expr)
        if "error" in found:
            yield f"{where}: {found['error']}"
        elif where not in rules and not found["result"]:
            yield f"{where}: no data: {expr}"
    # An alert has no data unless it fires, but the series that it reads must exist.
    read = sorted(set().union(*(selectors(rule["expr"]) for rule in RULES)))
    for selector in read:
        if not ask(prometheus, "query", query=selector).get("result"):
            yield f"no series matches {selector}"
    for group in ask(prometheus, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                yield f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}"
    print(f"{len(asked)} expressions, {len(read)} selectors of rules")


def main():
    kind, *arguments = sys.argv[1:]
    wrong = list({"form": form, "live": live}[kind](*arguments))
    for line in wrong:
        print(line)
    return bool(wrong)


sys.exit(main())
