"""What a user can mend is one sentence and exit code 2."""

import pytest

import jojoscl
from jojoscl.runner.config import class_of
from jojoscl.utils import errors
from jojoscl.utils.errors import UserError, nearest, stop


def test_the_nearest_name_or_all_of_them():
    assert nearest("seruat", ["seurat", "sccl"]) == " (did you mean 'seurat'?)"
    assert nearest("xyz", ["b", "a"]) == " (there are: a, b)"


def test_stop_is_one_line_on_stderr_and_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        stop("Give another file.", "jojoscl")
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "jojoscl: Give another file.\n")


def test_a_user_error_is_its_sentence():
    assert str(UserError("Give another file.")) == "Give another file."
    assert not issubclass(UserError, (ValueError, OSError))


def test_a_network_without_torch_is_one_sentence(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs torch: pip install 'jojoscl\[networks\]'"):
        class_of("jojoscl.networks.paper.ScCCL")
    with pytest.raises(UserError, match="needs torch"):
        jojoscl.PaperJojoSCL  # noqa: B018
    assert class_of("jojoscl.core.method.JojoSCL") is jojoscl.JojoSCL
    assert class_of("jojoscl.networks.settings.TrainerSettings")  # which every run has
