from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from models import zoo
from models.errors import DataFileError
from tests.toolchain import digits
from toolchain.errors import FileError, UsageError
from toolchain.recipe import check, read, run, schema
from toolchain.recipe.budgets import MEASURES, judge
from toolchain.recipe.junit import document
from toolchain.report import Artifact, Findings, Verdict

ROOT = Path(__file__).resolve().parents[2]
SMALL = """\
model = "digits.onnx"
data = "mnist:test:40"
[verify]
data = "mnist:test:4"
[quantize]
calibrate = "mnist:train:32"
[benchmark]
batches = [1]
samples = 12
seconds = 1.0
memory = false
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    digits.write(tmp_path / "digits.onnx")
    return write(tmp_path, SMALL)


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.toml")), ids=lambda p: p.stem)
def test_recipes_of_the_repository_are_read_and_name_a_network(path: Path) -> None:
    recipe = read(path)
    assert recipe.network in zoo.names()
    assert recipe.name == recipe.network
    assert recipe.budgets.model_fields_set


def test_every_network_with_its_data_in_the_repository_has_a_recipe_that_ci_checks() -> None:
    checked = {path.stem for path in (ROOT / "models").glob("*.toml")}
    assert checked == {name for name in zoo.names() if zoo.get(name).data == "mnist"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('netwrok = "lenet5"\n[verify]\nsynthetic = 1', "key 'netwrok' is not known; did you mean 'network'?"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[quantize]\ncalibrat = "x"', "[quantize] calibrat is not known"),
        (
            'network = "a"\n[verify]\nsynthetic = 1\n[budgets]\nacuracy_drop = 1',
            "[budgets] acuracy_drop is not known; did you mean 'max_accuracy_drop'?",
        ),
        ('network = "a"\ntext = "x"\n[verify]\nsynthetic = 1', "key 'text' is not known"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[quantise]\nx = 1', "did you mean 'quantize'?"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[quantize]', "[quantize] calibrate is missing"),
        ('network = "a"\n[verify]\nsynthetic = "many"', "[verify] synthetic is 'many'; expected a valid integer"),
        ('network = "a"\n[verify]\nsynthetic = 0', "[verify] synthetic is 0; expected greater than or equal to 1"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[export]\nbatch = "some"', "[export] batch is 'some'"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[budgets]\nmin_accuracy = 101', "less than or equal to 100"),
        ('network = "a"\nverify = 3', "key 'verify' is 3"),
        ('network = "a"\n', "[verify] says not on what"),
        ('network = "a"\n[verify]\nsynthetic = 1\ndata = "mnist:test:4"', "both data and synthetic"),
        ("[verify]\nsynthetic = 1", "one of the keys 'network' and 'model'"),
        ('network = "a"\nmodel = "b.onnx"\n[verify]\nsynthetic = 1', "one of the keys 'network' and 'model'"),
        ('model = "b.onnx"\nweights = "w"\n[verify]\nsynthetic = 1', "leave 'weights' and [export] out"),
        ('network = "a"\nweights = "seed:x"\n[verify]\nsynthetic = 1', "expected seed:N"),
        ('network = "a"\n[verify]\nsynthetic = 1\n[export]\nshape = [3, 2]', "[export] shape is [3, 2]"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(schema.NEEDS))
def test_a_budget_that_is_never_measured_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, f'network = "a"\n[verify]\nsynthetic = 1\n[budgets]\n{name} = 1')
    with pytest.raises(UsageError, match=rf"\[budgets\] {name} cannot be measured without"):
        read(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a = ", "is no TOML"), (b"\xff\xfe", "no text in UTF-8"), (b"#" * (1 << 21), "at most"), (None, "cannot read")],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=says):
        read(path)
    with pytest.raises(FileError, match="is a folder"):
        read(tmp_path)


def test_paths_stand_beside_the_recipe_and_names_stay_names(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    path = write(
        tmp_path, 'network = "lenet5"\nweights = "w/a.safetensors"\n[verify]\nsynthetic = 1\n[export]\nlabels = "l.txt"'
    )
    recipe = read(path)
    assert recipe.weights_file == tmp_path / "w" / "a.safetensors"
    assert recipe.labels_file == tmp_path / "l.txt"
    assert recipe.seed is None
    assert recipe.samples("mnist:test:64") == "mnist:test:64"
    assert recipe.samples("mnits:test") == "mnits:test"
    assert recipe.samples("photos") == str(tmp_path / "photos")
    assert recipe.samples("photos:12") == f"{tmp_path / 'photos'}:12"
    assert recipe.samples("x.npz:3") == f"{tmp_path / 'x.npz'}:3"
    assert recipe.samples("/abs/folder:3") == "/abs/folder:3"
    assert recipe.samples(None) is None


def test_a_seed_is_no_file(tmp_path: Path) -> None:
    recipe = read(write(tmp_path, 'network = "lenet5"\nweights = "seed:7"\n[verify]\nsynthetic = 1'))
    assert recipe.seed == 7
    assert recipe.weights_file is None


def test_every_budget_has_a_measure_and_an_absent_value_is_an_error(tmp_path: Path) -> None:
    assert set(MEASURES) == set(schema.Budgets.model_fields)
    budgets = "".join(f"{name} = 1\n" for name in MEASURES)
    tables = '[quantize]\ncalibrate = "mnist:train:8"\n[benchmark]\n[verify]\nsynthetic = 1\n'
    recipe = read(write(tmp_path, f'network = "a"\ndata = "mnist:test"\n{tables}[budgets]\n{budgets}'))
    verdicts = judge(recipe, Findings("n", "t", ""))
    assert [v.status for v in verdicts] == ["error"] * len(MEASURES)


def test_a_budget_says_by_how_much(tmp_path: Path) -> None:
    recipe = read(
        write(
            tmp_path,
            'network = "a"\n[quantize]\ncalibrate = "x"\n[verify]\nsynthetic = 1\n'
            "[budgets]\nmax_size = 1000\nmin_compression = 2.3",
        )
    )
    at = Findings("n", "", "", artifacts=(Artifact("model.onnx", 1000, ""), Artifact("model.int8.onnx", 500, "")))
    size, compression = judge(recipe, at)
    assert size.ok
    assert compression.status == "failed"
    assert compression.detail == "float size over int8 size is 2.00, budget at least 2.30: 0.30 below"
    over = replace(at, artifacts=(Artifact("model.onnx", 1001, ""), Artifact("model.int8.onnx", 400, "")))
    size, compression = judge(recipe, over)
    assert size.detail == "the float file is 1,001 bytes, budget at most 1,000 bytes: 1 bytes over"
    assert compression.ok


def test_a_run_leaves_models_bundle_results_and_report(small: Path, tmp_path: Path) -> None:
    told: list[Verdict] = []
    result = run(small, output=tmp_path / "out", tell=told.append)
    assert result.ok, [v for v in result.findings.verdicts if not v.ok]
    assert tuple(told) == result.findings.verdicts
    assert [v.stage for v in told] == [
        "import", "verify", "quantize", "verify int8", "evaluate", "benchmark", "bundle",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "bundle", "model.int8.onnx", "model.onnx", "report.html", "results.json",
    ]  # fmt: skip
    for artifact in result.findings.artifacts:
        assert (tmp_path / "out" / artifact.name).stat().st_size == artifact.size
    text = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert ".part" not in text, "no temporary path is written down"
    assert str(tmp_path) not in text


def test_force_replaces_an_earlier_run_and_nothing_else(small: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds other files"):
        run(small, output=tmp_path / "photos", force=True)
    assert (tmp_path / "photos" / "dear.jpg").exists()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match="is no folder"):
        run(small, output=tmp_path / "file", force=True)
    with pytest.raises(UsageError, match="holds other files"):
        run(small, output=tmp_path, force=True)
    assert small.exists()


def test_a_failed_budget_still_gives_a_report(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL + "[budgets]\nmax_size = 10\n", encoding="utf-8")
    result = run(small, output=tmp_path / "out")
    assert not result.ok
    assert "max_size" in result.report.read_text(encoding="utf-8")


def test_an_error_ends_a_run_and_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, 'network = "lenet5"\nweights = "absent.safetensors"\n[verify]\nsynthetic = 1')
    with pytest.raises(DataFileError, match=r"absent\.safetensors"):
        run(path, output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_check_turns_an_error_into_a_verdict_and_skips_what_follows(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL + "[budgets]\nmin_accuracy = 1\n")
    result = check(path, junit=tmp_path / "j.xml")
    assert not result.ok
    assert isinstance(result.error, FileError)
    found = {v.stage: v.status for v in result.findings.verdicts}
    assert found == {
        "export": "error", "verify": "skipped", "quantize": "skipped", "verify int8": "skipped",
        "evaluate": "skipped", "benchmark": "skipped", "bundle": "skipped", "budget": "error",
    }  # fmt: skip
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]  # noqa: S314 - our own output
    assert (suite.get("tests"), suite.get("errors"), suite.get("skipped")) == ("8", "2", "6")


def test_check_keeps_nothing_but_the_verdicts(small: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert check(small).ok
    assert sorted(tmp_path.iterdir()) == before


def test_junit_holds_what_xml_cannot() -> None:
    verdicts = (
        Verdict("verify int8", "a\x00<b>&", "failed", "node \x1b[31m'x'\ud800 \U0001f600", 1.5),
        Verdict("bundle", "b", "skipped", "c"),
        Verdict("quantize", "b", "error", "c"),
        Verdict("export", "b", "warned", "c", 0.25),
    )
    root = ElementTree.fromstring(document(Findings("n\x07", "", "", verdicts, environment={"k\x01": "v"})))  # noqa: S314
    suite = root[0]
    assert suite.attrib == {
        "name": "n\ufffd", "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.750",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert cases[0].attrib == {"classname": "n\ufffd.verify_int8", "name": "a\ufffd<b>&", "time": "1.500"}
    assert cases[0][0].tag == "failure"
    assert cases[0][0].get("message") == "node \ufffd[31m'x'\ufffd \U0001f600"
    assert [case[0].tag for case in cases[1:]] == ["skipped", "error", "system-out"]
