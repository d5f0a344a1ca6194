"""The images' locks are whole: every requirement is met, by files that the image's Python installs.

What each wheel requires stands in wheel-requirements.json: scripts/lock-images.ts reads it out of
the very files that it locks.
"""

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version
from support import TRAINER

LOCKS = sorted((TRAINER / "locks").glob("*.json"))
REQUIREMENTS = json.loads(Path(__file__).with_name("wheel-requirements.json").read_text("utf-8"))
IMAGES = TRAINER.parent / "src/targets/sagemaker/images.ts"


@pytest.fixture(params=LOCKS, ids=lambda path: path.stem)
def lock(request):
    return json.loads(request.param.read_text("utf-8"))


def direct_requirements():
    for name in ("requirements.in", "requirements-image.in"):
        for line in (TRAINER / name).read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                yield Requirement(line)


def environment(lock):
    """The image's, as markers ask for it."""
    return {
        "python_version": lock["python"],
        "python_full_version": f"{lock['python']}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "extra": "",
    }


def installed(lock):
    """All that the job's Python finds: the locked versions, and the torch that the image holds."""
    versions = {wheel["name"]: Version(wheel["version"]) for wheel in lock["wheels"]}
    return versions | {"torch": Version(lock["torch"])}


def unmet(lock):
    versions = installed(lock)
    for wheel in lock["wheels"]:
        for text in REQUIREMENTS[wheel["file"]]["requires"]:
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate(environment(lock)):
                continue
            found = versions.get(canonicalize_name(needed.name))
            if found is None or not needed.specifier.contains(found, prereleases=True):
                yield f"{wheel['name']} needs {text}, and there is {found}"


def test_each_image_that_is_offered_has_a_lock():
    offered = re.search(r"imageTags = \[(.*?)\]", IMAGES.read_text("utf-8"), re.DOTALL)[1]
    assert sorted(re.findall(r'"(.+?)"', offered)) == [path.stem for path in LOCKS]


def test_a_lock_is_of_its_image(lock):
    version, python = re.match(r"([\d.]+)-.*-py3(\d+)-", lock["image"]).groups()
    assert (lock["torch"], lock["python"]) == (version, f"3.{python}")
    assert (TRAINER / "locks" / f"{lock['image']}.json").exists()


def test_what_is_asked_for_is_locked_as_asked(lock):
    versions = installed(lock)
    for needed in direct_requirements():
        if needed.name != "torch":  # the image's own
            assert needed.specifier.contains(versions[needed.name]), str(needed)


def test_every_requirement_is_met(lock):
    assert list(unmet(lock)) == []


def test_a_package_that_is_missing_or_too_old_is_found_out(lock):
    less = lock | {"wheels": [each for each in lock["wheels"] if each["name"] != "jmespath"]}
    assert any("jmespath" in told for told in unmet(less))
    old = [
        each | {"version": "1.0"} if each["name"] == "huggingface-hub" else each
        for each in lock["wheels"]
    ]
    assert any("and there is 1.0" in told for told in unmet(lock | {"wheels": old}))


def test_the_image_s_python_installs_every_file(lock):
    version = tuple(map(int, lock["python"].split(".")))
    platforms = lock["platforms"]
    tags = {
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms=platforms),
    }
    for wheel in lock["wheels"]:
        name, its, _, fits = parse_wheel_filename(wheel["file"])
        assert (name, str(its)) == (wheel["name"], wheel["version"])
        assert fits & tags, wheel["file"]
        asked = REQUIREMENTS[wheel["file"]]["python"]
        assert SpecifierSet(asked or "").contains(f"{lock['python']}.0"), wheel["file"]


def test_no_system_is_asked_to_be_newer_than_the_image_s(lock):
    # Ubuntu 22.04 has glibc 2.35.
    found = [re.fullmatch(r"manylinux_2_(\d+)_x86_64", each) for each in lock["platforms"]]
    assert max(int(each[1]) for each in found if each) <= 35


def test_hashes_and_names_are_whole(lock):
    wheels = lock["wheels"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", each["sha256"]) for each in wheels)
    assert all(each["size"] > 0 for each in wheels)
    for key in ("name", "file", "sha256"):
        assert len({each[key] for each in wheels}) == len(wheels)
