"""Verdicts as JUnit's XML, which GitHub, GitLab and Jenkins read.

Format: the schema of Jenkins' xunit plugin (junit-10.xsd): ``testsuites / testsuite / testcase``, with
``failure`` for a gate that failed, ``error`` for what could not be judged, and ``skipped``.
"""

from __future__ import annotations

from xml.etree import ElementTree

from toolchain.report import Findings, Verdict

CHILDREN = {"failed": "failure", "error": "error", "skipped": "skipped"}


def document(findings: Findings) -> bytes:
    """The verdicts of one recipe as one test suite, UTF-8."""
    verdicts = findings.verdicts
    counts = {
        "tests": len(verdicts),
        **{
            plural: sum(verdict.status == status for verdict in verdicts)
            for plural, status in (("failures", "failed"), ("errors", "error"), ("skipped", "skipped"))
        },
    }
    facts = {name: str(count) for name, count in counts.items()}
    facts["time"] = f"{sum(verdict.seconds for verdict in verdicts):.3f}"
    root = ElementTree.Element("testsuites", {"name": "onnx-edge check", **facts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(findings.name), **facts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in findings.environment.items():
        ElementTree.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
    for verdict in verdicts:
        _case(suite, findings.name, verdict)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, recipe: str, verdict: Verdict) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": _clean(f"{recipe}.{verdict.stage.replace(' ', '_')}"),
            "name": _clean(verdict.name),
            "time": f"{verdict.seconds:.3f}",
        },
    )
    detail = _clean(verdict.detail)
    if verdict.status in CHILDREN:
        child = ElementTree.SubElement(case, CHILDREN[verdict.status], {"message": detail})
        if verdict.status != "skipped":
            child.set("type", verdict.status)
            child.text = detail
    else:
        ElementTree.SubElement(case, "system-out").text = detail


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2); names come from models."""
    return "".join(
        c if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff" else "\ufffd"
        for c in text
    )
