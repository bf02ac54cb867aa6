#!/bin/sh
# Builds the wheel and runs it from an environment that has the runtime dependencies and nothing
# else, away from the checkout: what is missing in the package list or data then shows.
# Usage: tests/try_wheel.sh PYTHON   (a Python that has `build`)
set -eu
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

echo "Building the wheel and installing it into an environment of its own (a minute or two) ..."
# By way of the source distribution: a build in place would pick up leftovers of earlier ones.
"$python" -m build --outdir "$work" . > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check -qq install --no-compile -c constraints.txt "$work"/*.whl
"$python" -c "from pathlib import Path; from tests.tiny_teacher import make_tiny_teacher; make_tiny_teacher(Path('$work/teacher'))"

cd "$work"
"$work/venv/bin/stillhouse" --help > help.txt
"$work/venv/bin/python" - <<'PYTHON'
import importlib
import pkgutil
from importlib.resources import files

DATA = {
    "datagen": ["py.typed", "vocabularies/age3.tsv"],
    "distill": ["py.typed"],
    "flows": ["py.typed", "prefect.yaml", "recipes/quickstart.toml", "recipes/smoke.toml", "report/templates/night.html.j2"],
    "warehouse": ["py.typed", "sql/lineage.sql"],
}
for name, paths in DATA.items():
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
    missing = [path for path in paths if not files(name).joinpath(path).is_file()]
    assert not missing, f"the wheel's {name} lacks {missing}"
PYTHON
PREFECT_HOME="$work/prefect" "$work/venv/bin/stillhouse" run smoke \
    --set teacher.model="$work/teacher" --data "$work/lake" > night.log 2>&1 || { cat night.log; exit 1; }
echo "The wheel installs, imports, answers --help and runs the smoke night."
