"""A teacher's graph, cut: the cuts are real, and the trunk computes what the teacher computes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learn2compress.graph.trunk import build_trunk, build_whole, cut_points, own_layers
from learn2compress.inputs.preprocessing import NAMED, Preprocessing, parse_preprocess

ResidualTeacher = Callable[..., Any]
CLASSES = 4
CUTS = ["stem_relu", "one_out", "down_relu", "two_out"]


@pytest.fixture(scope="module")
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)


def model_of(first: Any, last: Any) -> Any:
    from keras import Model

    return Model(first, last)


def features(model: Any, layer: str, inputs: Any) -> Any:
    return np.asarray(model_of(model.inputs[0], model.get_layer(layer).output)(inputs))


def trunk_of(teacher: Any, cut: str, preprocessing: Preprocessing) -> Any:
    scale, offset = (np.asarray(v, float) for v in (preprocessing.scale, preprocessing.offset))
    return build_trunk(teacher, cut, CLASSES, "a-trunk", scale, offset, preprocessing.bgr)


def member_input(pixels: Any) -> Any:
    return (pixels.astype(np.float32) - 128) / 128


def assert_close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4 * max(1.0, float(np.abs(expected).max())))


def test_cuts_are_where_blocks_end(residual_teacher: ResidualTeacher) -> None:
    assert own_layers(residual_teacher()).uncut is None
    assert cut_points(residual_teacher()) == CUTS


def test_all_that_follows_a_cut_follows_from_its_features(residual_teacher: ResidualTeacher, pixels: Any) -> None:
    teacher = residual_teacher()
    images = member_input(pixels)
    whole = np.asarray(teacher(images, training=False))
    for cut in cut_points(teacher):
        rest = model_of(teacher.get_layer(cut).output, teacher.output)
        assert_close(np.asarray(rest(features(teacher, cut, images), training=False)), whole)


def test_graph_steps_give_only_real_cuts(random_graph: Callable[..., Any], graph_steps: tuple[str, ...]) -> None:
    steps = [step for step in graph_steps if step != "pixelwise_dense"]
    teacher = random_graph(steps, 3)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 10, 9, 3)).astype(np.float32)
    whole = np.asarray(teacher(images, training=False))
    cuts = cut_points(teacher)
    assert len(cuts) >= 8
    for cut in cuts:
        rest = model_of(teacher.get_layer(cut).output, teacher.output)
        assert_close(np.asarray(rest(features(teacher, cut, images), training=False)), whole)


@pytest.mark.parametrize("preprocess", [*NAMED, "100,50", "10,20,30,40,50,60"])
def test_a_trunk_takes_over_the_teachers_preprocessing(
    residual_teacher: ResidualTeacher, pixels: Any, preprocess: str
) -> None:
    preprocessing = parse_preprocess(preprocess)
    assert preprocessing is not None
    teacher = residual_teacher()
    for cut in ("stem_relu", "two_out"):
        trunk = trunk_of(teacher, cut, preprocessing)
        expected = features(teacher, cut, preprocessing.apply(pixels))
        assert_close(features(trunk, cut, member_input(pixels)), expected)


def fronts() -> dict[str, Callable[[], list[Any]]]:
    from keras import layers

    mean, variance = (0.485, 0.456, 0.406), (0.05, 0.06, 0.07)
    return {
        "rescaling": lambda: [layers.Rescaling(1 / 127.5, offset=-1)],
        "rescaling per channel": lambda: [layers.Rescaling([0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0])],
        "normalization": lambda: [layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[50.0, 60.0, 70.0])],
        "both": lambda: [layers.Rescaling(1 / 255), layers.Normalization(mean=mean, variance=variance)],
        "one number for all": lambda: [layers.Normalization(axis=None, mean=127.0, variance=60.0)],
        "inverted": lambda: [layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[0.01, 0.02, 0.03], invert=True)],
    }


@pytest.mark.parametrize(
    "front", ["rescaling", "rescaling per channel", "normalization", "both", "one number for all", "inverted"]
)
@pytest.mark.parametrize("preprocess", ["raw", "caffe"])
def test_layers_that_rescale_the_pixels_move_into_the_first_convolution(
    residual_teacher: ResidualTeacher, pixels: Any, front: str, preprocess: str
) -> None:
    teacher = residual_teacher(fronts()[front]())
    preprocessing = NAMED[preprocess]
    trunk = trunk_of(teacher, "one_out", preprocessing)
    assert not any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in trunk.layers)
    expected = features(teacher, "one_out", preprocessing.apply(pixels))
    assert_close(features(trunk, "one_out", member_input(pixels)), expected)


def test_with_zero_padding_only_the_rim_differs(residual_teacher: ResidualTeacher, pixels: Any) -> None:
    teacher = residual_teacher([], "same")
    preprocessing = NAMED["caffe"]
    trunk = trunk_of(teacher, "stem_relu", preprocessing)
    expected = features(teacher, "stem_relu", preprocessing.apply(pixels))
    got = features(trunk, "stem_relu", member_input(pixels))
    assert_close(got[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1])
    assert np.abs(got - expected).max() > 1e-3


def test_a_trunk_ends_in_logits_of_its_own(residual_teacher: ResidualTeacher, pixels: Any) -> None:
    trunk = build_trunk(residual_teacher(), "one_out", 7, "a-trunk", np.ones(3), np.zeros(3), False)
    assert trunk.output_shape == (None, 7)
    names = {layer.name for layer in trunk.layers}
    assert "one_out_logits" in names
    assert "down" not in names
    assert np.isfinite(np.asarray(trunk(member_input(pixels)))).all()


def test_the_teacher_is_not_changed(residual_teacher: ResidualTeacher, pixels: Any) -> None:
    teacher = residual_teacher()
    images = member_input(pixels)
    before = np.asarray(teacher(images, training=False))
    trunk = trunk_of(teacher, "two_out", NAMED["unit"])
    for variable in trunk.trainable_variables:
        variable.assign(variable * 0)
    np.testing.assert_array_equal(np.asarray(teacher(images, training=False)), before)


def test_layers_that_the_user_froze_can_be_trained_again(residual_teacher: ResidualTeacher) -> None:
    teacher = residual_teacher()
    free = len(trunk_of(teacher, "two_out", NAMED["raw"]).trainable_variables)
    for layer in teacher.layers[:-1]:
        layer.trainable = False
    trunk = trunk_of(teacher, "two_out", NAMED["raw"])
    assert len(trunk.trainable_variables) == free


def test_a_sequential_teacher_can_be_cut_like_any_other(settle: Callable[[Any, int], Any], pixels: Any) -> None:
    from keras import Input, Sequential, layers

    teacher = Sequential(
        [
            Input((20, 20, 3)),
            layers.Conv2D(4, 3, name="stem", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES),
        ]
    )
    settle(teacher, 1)
    assert own_layers(teacher).uncut is None
    assert cut_points(teacher) == ["stem"]
    trunk = trunk_of(teacher, "stem", NAMED["raw"])
    expected = features(teacher, "stem", pixels.astype(np.float32))
    assert_close(features(trunk, "stem", member_input(pixels)), expected)


def nested() -> Any:
    from keras import Input, Model, Sequential, layers

    image = Input((20, 20, 3))
    base = Sequential([layers.Conv2D(4, 3), layers.ReLU()], name="the_base")
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(base(image))))


def unsupported() -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = layers.RandomCrop(18, 18, name="cropper")(image)
    x = layers.Conv2D(4, 3)(x)
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def many_channels() -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 4))
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))))


def subclassed() -> Any:
    import keras

    class MyModel(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    return MyModel()


def one_activation_throughout(name: str) -> Any:
    """All convolutions are understood; where the activations are not, what is before the first one is no trunk."""
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = image
    for _ in range(3):
        x = layers.Conv2D(4, 3, use_bias=False)(x)
        x = layers.Activation(name)(layers.BatchNormalization()(x))
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def norm_first() -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = layers.BatchNormalization(name="norm_of_pixels")(image)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def depthwise_first() -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = layers.Conv2D(4, 1, activation="relu")(layers.DepthwiseConv2D(3, name="per_colour")(image))
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def two_stems() -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    one, other = (layers.Conv2D(4, 3, activation="relu")(image) for _ in range(2))
    x = layers.Add(name="both")([one, other])
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def own_layer_scale() -> Any:
    """Keras has a layer of this name, which does something else."""
    from keras import Input, Layer, Model, layers

    class LayerScale(Layer):
        def build(self, shape: Any) -> None:
            self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs * (1 + self.gamma)

    image = Input((20, 20, 3))
    x = layers.Conv2D(4, 3)(LayerScale(name="mine")(image))
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def with_piece(piece: Callable[[Any], Any]) -> Any:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = piece(image)
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))))


def bicubic(x: Any) -> Any:
    from keras import layers

    return layers.UpSampling2D(interpolation="bicubic", name="enlarged")(layers.Conv2D(4, 3)(x))


def grouped(x: Any) -> Any:
    from keras import layers

    return layers.Conv2D(6, 3, groups=3)(x)


def scaled_by_place(x: Any) -> Any:
    from keras import layers

    return layers.Rescaling(np.ones((18, 18, 1)), name="by_place")(layers.Conv2D(4, 3)(x))


def sparse_rows(x: Any) -> Any:
    from keras import layers

    x = layers.Activation("sparsemax")(layers.Reshape((-1, 4))(layers.Conv2D(4, 3)(x)))
    return layers.Reshape((18, 18, 4))(x)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "not a Keras model"),
    "unsupported layer": (unsupported, "cropper is a RandomCrop"),
    "four channels": (many_channels, "neither RGB nor grey"),
    "subclassed": (subclassed, "MyModel"),
    "own layer of a known name": (own_layer_scale, "mine is a LayerScale that is not Keras' own"),
    "grouped first": (lambda: with_piece(grouped), "grouped convolution"),
    "sparsemax": (lambda: one_activation_throughout("sparsemax"), "the activation sparsemax"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_teacher_that_can_not_be_cut_is_refused_with_the_reason(name: str) -> None:
    make, reason = REFUSED[name]
    assert reason in (own_layers(make()).uncut or "")


@pytest.mark.parametrize("by", ["channel", "place", "row"])
def test_a_rescaling_that_is_not_by_the_channel_can_not_move_into_the_first_convolution(by: str) -> None:
    from keras import Input, Model, layers

    front = {
        "channel": lambda: layers.Rescaling(np.array([0.5, 1.0, 2.0])),
        "place": lambda: layers.Rescaling(np.ones((20, 20, 1)), name="vignette"),
        "row": lambda: layers.Normalization(axis=1, mean=np.ones(20), variance=np.ones(20), name="vignette"),
    }
    image = Input((20, 20, 3))
    x = layers.Conv2D(8, 3, activation="relu")(front[by]()(image))
    found = own_layers(Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    reason = None if by == "channel" else "vignette rescales pixels by their place, not by their channel"
    assert (found.uncut, found.unpruned) == (reason, reason)


@pytest.mark.parametrize("kind", ["Normalization", "Rescaling"])
def test_the_users_own_layer_takes_no_place_in_the_front_by_its_name(kind: str) -> None:
    """It has what Keras' own has, and computes something else."""
    from keras import Input, Model, layers

    def call(self: Any, pixels: Any) -> Any:
        return pixels * pixels

    own = type(kind, (getattr(layers, kind),), {"call": call})
    settings = {"scale": 2.0} if kind == "Rescaling" else {"mean": 1.0, "variance": 4.0}
    image = Input((20, 20, 3))
    x = layers.Conv2D(8, 3, activation="relu")(own(**settings, name="mine")(layers.Rescaling(1 / 255)(image)))
    found = own_layers(Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    assert found.uncut == f"mine is a {kind} that is not Keras' own"
    assert found.unpruned == f"mine is a {kind}"
    assert cut_points(found.model) == []


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (bicubic, "enlarged has the interpolation bicubic"),
        (scaled_by_place, "by_place is a Rescaling that is not by the channel"),
        (sparse_rows, "the activation sparsemax"),
        (grouped, "grouped convolution"),
    ],
)
def test_what_could_not_be_written_later_is_refused_now(piece: Callable[[Any], Any], reason: str) -> None:
    from learn2compress.graph.trunk import own_layers

    assert reason in (own_layers(with_piece(piece)).unpruned or "")


def test_a_cut_ends_a_block() -> None:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="first")(image))
    x = layers.Activation("hard_silu", name="swish")(x)
    x = layers.Conv2D(4, 3, activation="hard_silu", name="second")(x)
    model = Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert cut_points(own_layers(model).model) == ["swish", "second_activation"]


@pytest.mark.parametrize("make", [nested, lambda: one_activation_throughout("swish")], ids=["nested", "swish"])
def test_a_teacher_is_cut_in_its_simple_form(settle: Callable[[Any, int], Any], pixels: Any, make: Any) -> None:
    teacher = settle(make(), 2)
    assert own_layers(teacher).uncut is None
    simple = own_layers(teacher).model
    cut = cut_points(simple)[-1]
    trunk = trunk_of(simple, cut, NAMED["caffe"])
    expected = features(simple, cut, NAMED["caffe"].apply(pixels))
    assert_close(features(trunk, cut, member_input(pixels)), expected)
    assert_close(simple(NAMED["caffe"].apply(pixels)), teacher(NAMED["caffe"].apply(pixels)))


@pytest.mark.parametrize("make", [norm_first, depthwise_first, two_stems])
def test_a_trunk_is_right_or_refused_whatever_comes_first(
    settle: Callable[[Any, int], Any], pixels: Any, make: Callable[[], Any]
) -> None:
    teacher = settle(make(), 2)
    if own_layers(teacher).uncut:
        return
    cut = cut_points(teacher)[-1]
    trunk = trunk_of(teacher, cut, NAMED["caffe"])
    expected = features(teacher, cut, NAMED["caffe"].apply(pixels))
    assert_close(features(trunk, cut, member_input(pixels)), expected)


def own_layer(x: Any) -> Any:
    from keras import layers

    class Mine(layers.Layer):
        def __init__(self, factor: float) -> None:  # takes no name, and tells no settings
            super().__init__()
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    return Mine(2.0)(x)


def dict_into_nested(x: Any) -> Any:
    from keras import Input, Model, layers

    one, other = Input(x.shape[1:], name="z"), Input(x.shape[1:], name="a")
    difference = Model([one, other], layers.Subtract()([one, layers.ReLU()(other)]))
    return difference({"z": layers.Conv2D(x.shape[-1], 1, name="left")(x), "a": x})


def nested_block(x: Any) -> Any:
    from keras import Input, Model, layers

    inner = Input(x.shape[1:])
    return Model(inner, layers.ReLU()(layers.Conv2D(16, 3, name="inside")(inner)))(x)


def called_twice(x: Any) -> Any:
    from keras import layers

    again = layers.Conv2D(16, 3, padding="same", activation="relu")
    return layers.BatchNormalization()(again(again(x)))


def attention(x: Any) -> Any:
    from keras import layers

    places = layers.Permute((2, 1))(layers.Permute((2, 1))(layers.Reshape((-1, 16))(x)))
    seen = layers.MultiHeadAttention(2, 8, dropout=0.1)(places, places)
    return layers.Reshape((*x.shape[1:3], 16))(layers.Average()([places, seen]))


def attention_of_groups(x: Any) -> Any:
    from keras import layers

    places = layers.Reshape((-1, 16))(x)
    return layers.Reshape((*x.shape[1:3], 16))(layers.GroupQueryAttention(4, 4, 2)(places, places))


def one_of(kind: str) -> Callable[[Any], Any]:
    """A piece that is one layer or operation."""

    def piece(x: Any) -> Any:
        import keras
        from keras import layers

        made: dict[str, Callable[[], Any]] = {
            "plain": lambda: x,
            "sum": lambda: x + layers.Conv2D(16, 1)(x),
            "flip": lambda: keras.ops.flip(x, axis=1),
            "lambda": lambda: layers.Lambda(lambda tensor: tensor + 1)(x),
            "sparsemax": lambda: layers.Activation("sparsemax")(x),
            "softmax": lambda: layers.Multiply()([x, layers.Conv2D(16, 1, activation="softmax")(x)]),
            "transposed": lambda: layers.Conv2DTranspose(8, 3, strides=2, activation="relu")(x),
            "larger": lambda: layers.Maximum()([x, layers.Conv2D(16, 1)(x), layers.Conv2D(16, 1)(x)]),
            "dropout": lambda: layers.SpatialDropout2D(0.3)(x),
            "leaky": lambda: layers.Conv2DTranspose(8, 3, activation="leaky_relu")(x),
            "rows": lambda: layers.BatchNormalization(axis=1)(x),
            "masked": lambda: layers.Softmax()(x, mask=keras.ops.greater(x, 0.0)),
            "wrapped": lambda: layers.SpectralNormalization(layers.Conv2D(8, 3, activation=lambda t: t + 1))(x),
            "two": lambda: layers.MultiHeadAttention(2, 4)(x, x, return_attention_scores=True)[0],
        }
        return made[kind]()

    return piece


WHOLE: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "plain": (one_of("plain"), None),
    "an operation takes the pixels": (one_of("plain"), None),
    "an operation adds": (one_of("sum"), None),
    "an operation that no layer does": (one_of("flip"), "the operation Flip"),
    "a layer of the user's": (own_layer, "Mine"),
    "code": (one_of("lambda"), "Lambda"),
    "an activation that is not understood": (one_of("sparsemax"), "the activation sparsemax"),
    "softmax inside": (one_of("softmax"), None),
    "an activation that no kernel fuses": (one_of("leaky"), "the activation leaky_relu"),
    "a batch norm of rows": (one_of("rows"), "not by the channel"),
    "a softmax with a mask": (one_of("masked"), "Softmax|Greater"),
    "a layer in a layer that can't be copied": (one_of("wrapped"), "copied|SpectralNormalization"),
    "attention that gives its shares too": (one_of("two"), "several tensors"),
    "attention of groups": (attention_of_groups, None),
    "a layer that is called twice": (called_twice, None),
    "attention": (attention, None),
    "a transposed convolution": (one_of("transposed"), None),
    "the larger of two": (one_of("larger"), None),
    "noise by the channel": (one_of("dropout"), None),
    "a dict goes into a nested model": (dict_into_nested, None),
    "nested": (nested_block, None),
}


def whole_teacher(kind: str) -> Any:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    pixels = image / 127.5 - 1.0 if kind == "an operation takes the pixels" else image
    x = WHOLE[kind][0](layers.Conv2D(16, 3, name="first")(pixels))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_teacher_is_taken_or_refused_with_the_reason(kind: str) -> None:
    from learn2compress.graph.lower import lowered
    from learn2compress.graph.trunk import build_whole, own_layers

    model, reason = whole_teacher(kind), WHOLE[kind][1]
    found = own_layers(model).unpruned
    if reason:
        assert found is not None
        assert re.search(reason, found)
        return
    assert found is None
    whole = build_whole(lowered(model), "whole", np.full(3, 1.0), np.zeros(3), False)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)
    logits = whole.predict_on_batch((pixels - 128) / 128)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), model.predict_on_batch(pixels), atol=1e-3)


# Of what an integer file can't have.
IN_FLOAT = {
    "an activation that is not understood",
    "an activation that no kernel fuses",
    "a batch norm of rows",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_teacher_may_have_more_layers_where_no_file_computes_in_integers(kind: str) -> None:
    from learn2compress.graph.fold import fold_batch_norm
    from learn2compress.train.trainable import plain, trainable

    model = whole_teacher(kind)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) == 1 and not weight.name.startswith("seed"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    own = own_layers(model, integer=False)
    assert (own.unpruned is None) == (WHOLE[kind][1] is None or kind in IN_FLOAT)
    if kind not in IN_FLOAT:
        return
    whole = build_whole(own.model, "whole", np.full(3, 1.0), np.zeros(3), False)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)
    inputs = (pixels - 128) / 128
    expected = model.predict_on_batch(pixels)
    for form in (whole, trainable(whole, "float32", 0.9), fold_batch_norm(plain(trainable(whole, "float32", 0.9)))):
        logits = form.predict_on_batch(inputs)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=1e-3)


def test_a_teacher_of_uint8_pixels_is_taken() -> None:
    from keras import Input, Model, layers

    from learn2compress.graph.lower import lowered
    from learn2compress.graph.trunk import build_whole, own_layers

    image = Input((12, 12, 3), dtype="uint8")
    x = layers.Conv2D(8, 3, activation="relu", name="first")(layers.Rescaling(1 / 255)(image))
    model = Model(image, layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x)))
    assert own_layers(model).unpruned is None
    whole = build_whole(lowered(model), "whole", np.full(3, 1.0), np.zeros(3), False)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    given = (pixels.astype(np.float32) - 128) / 128
    np.testing.assert_allclose(whole.predict_on_batch(given), model.predict_on_batch(pixels), atol=1e-4)


def test_a_teacher_whose_probabilities_come_from_no_softmax_has_no_logits_to_train_by() -> None:
    from keras import Input, Model, layers

    image = Input((12, 12, 3))
    sure = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(image)))
    both = layers.Concatenate(name="both")([1.0 - sure, sure])
    assert own_layers(Model(image, both), outputs="probabilities").unpruned == (
        "its probabilities come from both, not from a softmax or sigmoid at its end"
    )
    assert own_layers(Model(image, sure), outputs="scores").unpruned is None
    assert own_layers(Model(image, layers.Softmax()(both)), outputs="probabilities").unpruned is None
    assert own_layers(Model(image, both), outputs="logits").unpruned is None


@pytest.mark.parametrize("size", [(20, 20), (40, 40)])
def test_a_teacher_that_resizes_its_images_is_taken(size: tuple[int, int]) -> None:
    from keras import Input, Model, layers

    from learn2compress.graph.trunk import build_whole, own_layers

    image = Input((20, 20, 3))
    x = layers.Rescaling(1 / 255)(layers.Resizing(*size)(layers.Rescaling(2.0, offset=3.0)(image)))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu", name="first")(x))
    model = Model(image, layers.Dense(3, name="scores")(x))
    own = own_layers(model)
    assert (own.uncut, own.unpruned) == (None, None)
    caffe = NAMED["caffe"]
    whole = build_whole(own.model, "whole", np.asarray(caffe.scale), np.asarray(caffe.offset), caffe.bgr)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8)
    assert_close(whole.predict_on_batch(member_input(pixels)), model.predict_on_batch(caffe.apply(pixels)))
    # Larger pixels are no features yet.
    assert cut_points(own.model) == ["first"]
    trunk = trunk_of(own.model, "first", caffe)
    assert_close(features(trunk, "first", member_input(pixels)), features(own.model, "first", caffe.apply(pixels)))


def test_a_teacher_that_crops_its_images_is_taken() -> None:
    from keras import Input, Model, layers

    image = Input((20, 20, 3))
    x = layers.CenterCrop(15, 18)(layers.Rescaling(2.0, offset=3.0)(image))
    x = layers.Conv2D(8, 3, activation="relu", name="first")(layers.Rescaling(1 / 255)(x[:, 1:]))
    model = Model(image, layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x)))
    own = own_layers(model)
    assert (own.uncut, own.unpruned) == (None, None)
    caffe = NAMED["caffe"]
    whole = build_whole(own.model, "whole", np.asarray(caffe.scale), np.asarray(caffe.offset), caffe.bgr)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8)
    assert_close(whole.predict_on_batch(member_input(pixels)), model.predict_on_batch(caffe.apply(pixels)))
    # Fewer pixels are no features yet.
    assert cut_points(own.model) == ["first"]


@pytest.mark.parametrize("preprocess", ["unit", "mnist"])
def test_a_teacher_of_grey_images_gets_members_of_rgb_images(preprocess: str) -> None:
    from keras import Input, Model, layers

    from learn2compress.graph.trunk import build_whole, own_layers

    image = Input((16, 16, 1))
    x = layers.Rescaling(2.0, offset=-0.5)(image)
    x = layers.Conv2D(8, 3, activation="relu", name="first")(x)
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    model = Model(image, layers.Dense(3, name="scores")(x))
    assert (own_layers(model).uncut, own_layers(model).unpruned) == (None, None)
    preprocessing = parse_preprocess(preprocess)
    assert preprocessing is not None
    scale, offset = (np.asarray(v, float) for v in (preprocessing.scale, preprocessing.offset))
    whole = build_whole(own_layers(model).model, "whole", scale, offset, preprocessing.bgr)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    expected = model.predict_on_batch(preprocessing.apply(pixels, channels=1))
    # Grey is a whole number for the teacher: it is half a step apart at most.
    np.testing.assert_allclose(whole.predict_on_batch(member_input(pixels)), expected, atol=0.05)


@pytest.mark.parametrize(("change", "reason"), [("int8", "was quantized by Keras"), ("lora", "LoRA")])
def test_weights_that_keras_has_altered_are_refused_with_advice(change: str, reason: str) -> None:
    from keras import Input, Model, layers

    from learn2compress.graph.trunk import own_layers

    image = Input((12, 12, 3))
    x = layers.ReLU()(layers.Conv2D(8, 3)(image))
    model = Model(image, layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x)))
    if change == "lora":
        model.get_layer("scores").enable_lora(2)
    else:
        model.quantize(change)
    found = own_layers(model)
    assert found.uncut == found.unpruned
    assert reason in (found.uncut or "")


def test_an_operation_that_is_no_layer_is_not_taken_for_one_of_its_name() -> None:
    from learn2compress.graph.trunk import cut_points

    cuts = cut_points(whole_teacher("an operation adds"))
    assert cuts == ["first"]


def test_a_teacher_of_images_of_any_size_is_cut_and_pruned_for_those_it_gets() -> None:
    from keras import Input, Model, layers

    from learn2compress.graph.trunk import build_whole, own_layers

    image, relu = Input((None, None, 3)), layers.ReLU(name="relu")
    x = relu(layers.Conv2D(8, 3, name="first")(image))
    x = layers.Add(name="sum")([x, relu(layers.Conv2D(8, 3, padding="same", name="second")(x))])
    teacher = Model(image, layers.Dense(2, name="scores")(layers.GlobalAveragePooling2D(name="mean")(x)))
    assert "any size" in (own_layers(teacher).uncut or "")
    own = own_layers(teacher, (20, 24))
    assert (own.uncut, own.unpruned) == (None, None)
    assert cut_points(own.model) == ["relu", "sum"]
    images = np.random.default_rng(0).uniform(0, 255, (3, 20, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(own.model(images), teacher(images), rtol=1e-4, atol=1e-4)
    whole = build_whole(own.model, "whole", np.full(3, 1.0), np.zeros(3), False)
    np.testing.assert_allclose(whole((images - 128) / 128), teacher(images), rtol=1e-3, atol=1e-2)
