"""Where a robot listens, and who else may not."""

import os
import socket
import stat

import pytest

from spinal.runtime.errors import LinkError
from spinal.runtime.link import endpoints as places
from spinal.runtime.link.endpoints import Endpoints, in_directory
from spinal.runtime.link.server import LinkServer


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_directory_and_sockets_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with LinkServer(in_directory(tmp_path / "deep" / "robot")):
            assert mode(tmp_path / "deep") == 0o700
            assert mode(tmp_path / "deep" / "robot") == 0o700
            assert {mode(path) for path in (tmp_path / "deep" / "robot").iterdir()} == {0o600}
        assert os.umask(0) == 0, "the umask was not put back"
    finally:
        os.umask(before)


def test_closing_removes_the_sockets_and_frees_the_place(tmp_path):
    for _ in range(3):
        server = LinkServer(in_directory(tmp_path))
        server.close()
        server.close()
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_dead_process_socket_is_removed(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "command"))
    with LinkServer(in_directory(tmp_path)) as server:
        assert server.poll(0) == []


def test_a_live_robot_is_not_replaced(tmp_path):
    with LinkServer(in_directory(tmp_path)):
        with pytest.raises(LinkError, match="already listens") as caught:
            LinkServer(in_directory(tmp_path))
        assert caught.value.hint
        assert (tmp_path / "command").exists()


def test_a_strangers_live_socket_is_not_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "state"))
        live.listen(1)
        with pytest.raises(LinkError, match="live process") as caught:
            LinkServer(in_directory(tmp_path))
        assert caught.value.hint
        assert (tmp_path / "state").exists()
    assert not (tmp_path / "command").exists(), "a failed start leaves nothing behind"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "command").write_text("mine")
    with pytest.raises(LinkError, match="not a socket"):
        LinkServer(in_directory(tmp_path))
    assert (tmp_path / "command").read_text() == "mine"


@pytest.mark.parametrize("bits", [0o755, 0o770, 0o705, 0o710, 0o701])
def test_a_directory_open_to_others_is_refused_not_changed(tmp_path, bits):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(bits)
    with pytest.raises(LinkError, match="open to other users") as caught:
        LinkServer(in_directory(shared))
    assert "chmod 700" in caught.value.hint
    assert mode(shared) == bits


def test_a_directory_that_others_could_swap_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(LinkError, match="could replace"):
        LinkServer(in_directory(tmp_path / "robot"))


def test_a_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    stranger = tmp_path.stat().st_uid + 4242
    monkeypatch.setattr(places.os, "geteuid", lambda: stranger)
    with pytest.raises(LinkError, match="belongs to user"):
        LinkServer(in_directory(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_below_another_users_is_refused(tmp_path):
    (tmp_path / "robot").mkdir(mode=0o700)
    os.chown(tmp_path, 4242, -1)
    with pytest.raises(LinkError, match="could replace"):
        LinkServer(in_directory(tmp_path / "robot"))


def test_a_link_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "robot").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LinkError, match="not a directory"):
        LinkServer(in_directory(tmp_path / "robot"))


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://*:5555",
        "tcp://0.0.0.0:5555",
        "tcp://10.0.0.1:1",
        "tcp://eth0:1",
        "tcp://example.org:1",
        "tcp://[::]:1",
        "inproc://x",
        "udp://127.0.0.1:1",
        "ipc://@abstract",
        "ipc://relative",
        "ipc:///" + "x" * 107,
        "",
    ],
)
def test_only_this_machine_is_served_unless_allowed(endpoint, tmp_path):
    state = in_directory(tmp_path).state
    with pytest.raises(LinkError) as caught:
        LinkServer(Endpoints(endpoint, state))
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_loopback_is_served_and_other_addresses_when_allowed():
    with LinkServer(Endpoints("tcp://127.0.0.1:*", "tcp://localhost:*")) as server:
        assert not server.endpoints.command.endswith("*")
    with LinkServer(Endpoints("tcp://0.0.0.0:*", "tcp://0.0.0.0:*"), allow_remote=True):
        pass


@pytest.mark.parametrize(
    "name", ["", "..", ".", "../x", "a/b", "/abs", ".hidden", "-flag", "a\n", "a\0b", "x" * 65]
)
def test_a_robots_name_cannot_leave_its_directory(name):
    with pytest.raises(LinkError, match="name"):
        places.of_robot(name)


def test_the_place_of_a_robot():
    assert places.of_robot("so101", {"XDG_RUNTIME_DIR": "/run/user/7"}) == Endpoints(
        "ipc:///run/user/7/spinal/so101/command", "ipc:///run/user/7/spinal/so101/state"
    )
    fallback = f"/tmp/spinal-{os.geteuid()}/so101"
    assert str(places.robot_directory("so101", {})) == fallback
    assert str(places.robot_directory("so101", {"XDG_RUNTIME_DIR": "not/absolute"})) == fallback


def test_listening_robots_are_found(tmp_path):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert places.listening_robots(environ) == []
    with LinkServer(places.of_robot("arm", environ)):
        (tmp_path / "spinal" / "idle").mkdir()
        assert places.listening_robots(environ) == ["arm"]


def test_every_robots_name_can_sign_a_message(tmp_path):
    name = "x" * 64
    assert places.robot_directory(name, {}).name == name
    with LinkServer(in_directory(tmp_path), src=name):
        pass
    with pytest.raises(ValueError, match="length"):
        LinkServer(in_directory(tmp_path), src=name + "x")
