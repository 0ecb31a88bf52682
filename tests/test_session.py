"""Sessions: any tensors, axes that get numbers, where the nodes are in truth, and models that do not behave."""

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from policy_models import ECHO, INPUTS, model, write_model

from spinal.runtime.config.card import load_card
from spinal.runtime.config.policy import CudaOptions, EngineOptions, OpenVinoOptions, TensorRtOptions
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy import placement, providers, session
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.signature import Declared, Signature, Tensor, bind

CPU, CUDA, RT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}


def write(folder, nodes, inputs, outputs, opsets=(("", 17),)):
    """A model of ``nodes``; ``inputs`` and ``outputs`` are name -> (numpy type, shape)."""

    def values(tensors):
        return [
            helper.make_tensor_value_info(n, TYPES[dtype], shape) for n, (dtype, shape) in tensors.items()
        ]

    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=10)
    path = folder / "made.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def identities(types):
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in types]
    tensors = {name: Tensor((1, 3), name) for name in types}
    declared = {name: (name, [1, 3]) for name in types}
    answers = {f"{name}_out": tensor for name, tensor in tensors.items()}
    return nodes, declared, {f"{n}_out": v for n, v in declared.items()}, Signature(tensors, answers)


def test_any_number_of_tensors_of_any_type(tmp_path):
    nodes, inputs, outputs, signature = identities(TYPES)
    made = Session(write(tmp_path, nodes, inputs, outputs), signature, (CPU,))
    for number, name in enumerate(TYPES):
        made.inputs[name][...] = number
        assert made.inputs[name].dtype == name
    made.run()
    for number, name in enumerate(TYPES):
        answer = made.outputs[f"{name}_out"]
        assert answer.dtype == name
        assert (answer == (number if name != "bool" else bool(number))).all()
    assert made.output is made.outputs["float32_out"]


def test_an_output_that_nobody_named_is_not_bound(tmp_path):
    nodes, inputs, outputs, signature = identities(TYPES)
    only = Signature(signature.inputs, {"int64_out": None})
    made = Session(write(tmp_path, nodes, inputs, outputs), only, (CPU,))
    assert list(made.outputs) == ["int64_out"]
    assert made.outputs["int64_out"].shape == (1, 3)


# --- axes

DYNAMIC = {"x": ("float32", ["batch", "steps"])}
SAME = {"y": ("float32", ["batch", "steps"])}
DOUBLE = [helper.make_node("Add", ["x", "x"], ["y"])]


def test_a_named_axis_gets_the_cards_number_everywhere(tmp_path):
    path = write(tmp_path, DOUBLE, DYNAMIC, SAME)
    made = Session(path, Signature({"x": Tensor((1, 5), "float32")}, {"y": None}), (CPU,))
    made.inputs["x"][...] = 3
    made.run()
    assert made.outputs["y"].tolist() == [[6.0] * 5]


def test_an_axis_that_nothing_binds_is_named(tmp_path):
    path = write(
        tmp_path,
        [helper.make_node("NonZero", ["x"], ["y"])],
        DYNAMIC,
        {"y": ("int64", [2, "how_many"])},
    )
    wanted = Signature({"x": Tensor((1, 5), "float32")}, {"y": None})
    with pytest.raises(
        PolicyError, match=r"made\.onnx leaves axes open .*: y, axis 1 \(how_many\)"
    ) as raised:
        Session(path, wanted, (CPU,))
    assert raised.value.hint


def test_one_name_has_one_number(tmp_path):
    with pytest.raises(PolicyError, match="y: axis steps is 6 here and 5 in another tensor"):
        bind(
            "m",
            Signature({"x": Tensor((1, 5), "float32")}, {"y": Tensor((1, 6), "float32")}),
            {"x": Declared((1, "steps"), "float32")},
            {"y": Declared((1, "steps"), "float32")},
        )


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (Declared((1, 5), "int64"), "x: card float32, model int64"),
        (Declared((5,), "float32"), r"x: card \(1, 5\), model \(5,\)"),
        (Declared((1, None, 3), "float32"), r"x: card \(1, 5\), model \(1, \?, 3\)"),
        (Declared((1, 4), "float32"), r"x: card \(1, 5\), model \(1, 4\)"),
    ],
)
def test_what_card_and_model_say_of_a_tensor_must_agree(declared, said):
    with pytest.raises(PolicyError, match=said):
        bind("m", Signature({"x": Tensor((1, 5), "float32")}, {}), {"x": declared}, {})


def test_a_model_that_would_take_all_memory_is_refused_before_it_does():
    with pytest.raises(PolicyError, match="x of m would have 281474976710656 elements"):
        bind(
            "m", Signature({}, {}, others=frozenset("x")), {"x": Declared((1 << 24, 1 << 24), "float32")}, {}
        )


def test_an_axis_that_lies_is_an_error_of_its_run(tmp_path):
    """The card gives the axis a number, and the graph answers another: nothing is written past a buffer."""
    path = write(
        tmp_path, [helper.make_node("NonZero", ["x"], ["y"])], DYNAMIC, {"y": ("int64", [2, "how_many"])}
    )
    wanted = Signature({"x": Tensor((1, 5), "float32")}, {"y": Tensor((2, 5), "int64")})
    with pytest.raises(PolicyError, match=r"made\.onnx failed while it ran: "):
        Session(path, wanted, (CPU,))


# --- models that do not behave


def test_an_operator_that_the_provider_lacks_is_named(tmp_path):
    """The error function of integers: ONNX has it, and no kernel of the processor does."""
    path = write(
        tmp_path, [helper.make_node("Erf", ["x"], ["y"])], {"x": ("int64", [3])}, {"y": ("int64", [3])}
    )
    wanted = Signature({"x": Tensor((3,), "int64")}, {"y": None})
    with pytest.raises(PolicyError, match=r"cannot load made\.onnx: .*Erf") as raised:
        Session(path, wanted, (CPU,))
    assert "\n" not in raised.value.message


def test_an_operator_of_somebodys_own_library_is_refused(tmp_path):
    path = write(
        tmp_path,
        [helper.make_node("Payload", ["x"], ["y"], domain="evil.ops")],
        {"x": ("float32", [1, 3])},
        {"y": ("float32", [1, 3])},
        opsets=(("", 17), ("evil.ops", 1)),
    )
    with pytest.raises(PolicyError, match=r"cannot load made\.onnx: .*Payload"):
        Session(path, Signature({"x": Tensor((1, 3), "float32")}, {"y": None}), (CPU,))


def test_an_error_in_a_run_is_told_in_one_line_and_the_next_one_is_tried(tmp_path):
    """An index that comes from the observation, out of range."""
    path = write(
        tmp_path,
        [helper.make_node("Gather", ["table", "at"], ["y"])],
        {"table": ("float32", [4]), "at": ("int64", [1])},
        {"y": ("float32", [1])},
    )
    wanted = Signature({"table": Tensor((4,), "float32"), "at": Tensor((1,), "int64")}, {"y": None})
    made = Session(path, wanted, (CPU,))
    made.inputs["at"][...] = 9
    with pytest.raises(PolicyError, match=r"made\.onnx failed while it ran: .*Gather") as raised:
        made.run()
    assert "\n" not in raised.value.message
    made.inputs["at"][...] = 3
    made.inputs["table"][...] = 7
    made.run()
    assert made.output.tolist() == [7.0]


def test_memory_is_bounded(tmp_path):
    """In a process of its own: the bound is a process's."""
    path = write(
        tmp_path,
        [
            helper.make_node("Expand", ["x", "wide"], ["much"]),
            helper.make_node("ReduceSum", ["much"], ["y"], keepdims=0),
        ],
        {"x": ("float32", [1]), "wide": ("int64", [1])},
        {"y": ("float32", [])},
    )
    script = (
        "import sys; from pathlib import Path\n"
        "from spinal.runtime.policy.session import Session, bound_memory\n"
        "from spinal.runtime.policy.signature import Signature, Tensor\n"
        "bound_memory(32)\n"
        "s = Session(Path(sys.argv[1]), Signature({'x': Tensor((1,), 'float32'), 'wide': Tensor((1,), 'int64')},"
        " {'y': None}), ('CPUExecutionProvider',))\n"
        "s.inputs['x'][...] = 1\n"
        "for wide in (1000, 1 << 25):\n"
        "    s.inputs['wide'][...] = wide\n"
        "    s.run(); print(int(s.output))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["1000"]
    assert "PolicyError: made.onnx failed while it ran: " in done.stderr
    assert "memory of" in done.stderr


# --- where it runs


def record(**nodes):
    return [
        SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count)
        for name, count in nodes.items()
    ]


def test_nodes_are_counted_by_onnxruntimes_own_record(tmp_path):
    path = write_model(tmp_path, ECHO)
    made = Session(path, load_card(path), (CPU,))
    assert made.nodes == Counter({CPU: 1})
    session_of_two = SimpleNamespace(
        get_provider_graph_assignment_info=lambda: record(A=3, B=1) + record(A=2)
    )
    assert placement.from_record(session_of_two) == {"A": 5, "B": 1}
    assert placement.from_record(SimpleNamespace()) is None


def test_without_a_record_they_are_counted_in_a_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(placement, "from_record", lambda made: None)
    path = write(
        tmp_path,
        [*DOUBLE, helper.make_node("Sin", ["y"], ["z"]), helper.make_node("Cos", ["y"], ["c"])],
        DYNAMIC,
        {"z": SAME["y"], "c": SAME["y"]},
    )
    wanted = Signature({"x": Tensor((1, 5), "float32")}, {"z": None, "c": None})
    before = set(tmp_path.iterdir())
    made = Session(path, wanted, (CPU,))
    assert made.nodes == {CPU: 3}
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("found", "nodes", "refused"),
    [
        ([CUDA, CPU], {CUDA: 9, CPU: 3}, None),
        ([CUDA, CPU], {CUDA: 5, CPU: 5}, None),
        ([CUDA, CPU], {CUDA: 4, CPU: 5}, f"takes 4 of its 9 nodes: 5 would run on {CPU}"),
        ([CUDA, CPU], {CPU: 5}, f"takes 0 of its 5 nodes: 5 would run on {CPU}"),
        ([CPU], {CPU: 5}, f"was to run on {CUDA} and would run on {CPU}"),
        ([CUDA, CPU], {}, None),  # every node was folded away
    ],
)
def test_a_silent_fall_back_is_an_error_unless_it_is_allowed(found, nodes, refused):
    placement.refuse_fall_back("m", CUDA, found, nodes, allowed=True)
    if refused is None:
        placement.refuse_fall_back("m", CUDA, found, nodes, allowed=False)
        return
    with pytest.raises(PolicyError, match=refused) as raised:
        placement.refuse_fall_back("m", CUDA, found, nodes, allowed=False)
    assert "allow_provider_fallback = true" in raised.value.hint


def test_what_each_provider_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = str(tmp_path / "spinal" / "engines")
    options = EngineOptions(
        cuda=CudaOptions(device=1, graph=True, memory_mib=64),
        tensorrt=TensorRtOptions(device=2, fp16=True, workspace_mib=32),
        openvino=OpenVinoOptions(device="GPU", cache=False),
    )
    assert providers.with_options([CUDA, RT, providers.OPENVINO, CPU], options) == [
        (CUDA, {"device_id": "1", "enable_cuda_graph": "1", "gpu_mem_limit": str(64 << 20)}),
        (
            RT,
            {
                "device_id": "2",
                "trt_fp16_enable": "True",
                "trt_cuda_graph_enable": "False",
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": folder,
                "trt_max_workspace_size": str(32 << 20),
            },
        ),
        (providers.OPENVINO, {"device_type": "GPU", "num_of_threads": "1"}),
        (CPU, {}),
    ]
    assert (tmp_path / "spinal" / "engines").stat().st_mode & 0o777 == 0o700
    assert [providers.device_of(p, options) for p in (CUDA, RT, CPU)] == [("cuda", 1), ("cuda", 2), None]


class FakeGpu:
    """onnxruntime as it is, but for a GPU that the processor plays: every call of the device path is real."""

    def __init__(self, takes):
        self.takes, self.asked, self.values, self.copied_out = takes, [], [], 0

    def __getattr__(self, name):
        return getattr(ort, name)

    def InferenceSession(self, path, options, providers):  # noqa: N802  onnxruntime's own name
        self.asked.append(providers)
        real = ort.InferenceSession(path, options, providers=[CPU])
        nodes = sum(len(part.get_nodes()) for part in real.get_provider_graph_assignment_info())
        on_gpu = round(nodes * self.takes)
        told = record(**{CUDA: on_gpu, CPU: nodes - on_gpu})
        faked = SimpleNamespace(
            get_providers=lambda: [CUDA, CPU], get_provider_graph_assignment_info=lambda: told
        )
        for name in ("get_inputs", "get_outputs", "io_binding", "run_with_iobinding", "disable_fallback"):
            setattr(faked, name, getattr(real, name))
        return faked

    @property
    def OrtValue(self):  # noqa: N802  onnxruntime's own name
        def make(shape, dtype, kind, number):
            value = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)
            self.values.append((kind, number, value.data_ptr()))
            return value

        return SimpleNamespace(ortvalue_from_shape_and_type=make)


def test_on_a_device_every_tensor_has_one_place_and_is_copied_once_each_way(tmp_path, monkeypatch):
    gpu = FakeGpu(takes=1)
    monkeypatch.setattr(session, "ort", gpu)
    path = write_model(tmp_path, ECHO)
    made = Session(
        path, load_card(path), (CUDA, CPU), options=EngineOptions(cuda=CudaOptions(device=1, graph=True))
    )
    assert gpu.asked == [[(CUDA, {"device_id": "1", "enable_cuda_graph": "1"}), (CPU, {})]]
    assert len(gpu.values) == len(INPUTS) + 1
    assert {(kind, number) for kind, number, _ in gpu.values} == {("cuda", 1)}
    mirrors = {array.ctypes.data for array in (*made.inputs.values(), *made.outputs.values())}
    assert not mirrors & {place for *_, place in gpu.values}
    answer = made.output
    for value in (1.5, -2.0):
        made.inputs["prefix"][...] = value
        assert not (answer == value).all()
        made.run()
        assert (answer == value).all()
    assert made.output is answer
    assert made.providers[0] == CUDA


def test_a_provider_that_leaves_the_work_to_the_processor_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "ort", FakeGpu(takes=0))
    path = write_model(tmp_path, ECHO)
    with pytest.raises(PolicyError, match="takes 0 of its 1 nodes: 1 would run on CPUExecutionProvider"):
        Session(path, load_card(path), (CUDA, CPU))
    assert Session(path, load_card(path), (CUDA, CPU), True).nodes[CPU] == 1


def test_threads_and_spinning_are_as_chosen(tmp_path, monkeypatch):
    chosen = []
    real = ort.InferenceSession

    def seen(path, options, providers):
        entry = options.get_session_config_entry("session.intra_op.allow_spinning")
        chosen.append((options.intra_op_num_threads, options.inter_op_num_threads, entry))
        return real(path, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", seen)
    path = write_model(tmp_path, ECHO)
    for options in (EngineOptions(), EngineOptions(threads=2, spinning=True)):
        Session(path, load_card(path), (CPU,), options=options)
    assert chosen == [(1, 1, "0"), (2, 1, "1")]
    assert model(ECHO)
