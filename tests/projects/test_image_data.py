"""Files of pictures are read as they are laid out, and a palette is what k-means finds elsewhere."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.projects import image_data

K = 5  # colours


def cifar10(folder, rng, names=True):
    """Write two training batches and a test batch, of 3, 2 and 4 pictures; return classes and pixels."""
    folder.mkdir(exist_ok=True)
    classes, pixels = rng.integers(10, size=9), rng.integers(256, size=(9, 32, 32, 3), dtype=np.uint8)
    sizes = {"data_batch_1.bin": 3, "data_batch_2.bin": 2, "test_batch.bin": 4}
    at = 0
    for name, n in sizes.items():
        with open(folder / name, "wb") as file:
            for i in range(
                at, at + n
            ):  # https://www.cs.toronto.edu/~kriz/cifar.html: <1 x label><3072 x pixel>
                file.write(bytes([classes[i]]))
                for channel in range(
                    3
                ):  # "red channel values, the next 1024 the green, the final 1024 the blue"
                    for y in range(32):  # "in row-major order"
                        file.write(bytes(pixels[i, y, :, channel]))
        at += n
    if names:
        (folder / "batches.meta.txt").write_text(
            "\n".join(f"name {i}".replace(" ", "") for i in range(10)) + "\n\n"
        )
    return classes, pixels


def test_cifar_10_is_read_as_its_page_lays_it_out(tmp_path):
    classes, pixels = cifar10(tmp_path, np.random.default_rng(0))
    found = image_data.load(str(tmp_path), None)
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.classes, classes)
    assert (found.names[3], len(found.names), found.n_seen) == ("name3", 10, 5)
    (tmp_path / "batches.meta.txt").unlink()
    assert image_data.load(str(tmp_path), None).names == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("test_batch.bin", None, "test_batch.bin is missing: it has the pictures that are held out"),
        (
            "data_batch_2.bin",
            b"\0" * 3072,
            "data_batch_2.bin has 3,072 bytes, no multiple of 3,073: a class and",
        ),
        ("data_batch_2.bin", b"", "data_batch_2.bin has 0 bytes, no multiple"),
        (
            "data_batch_1.bin",
            b"\x0a" * 3073,
            "data_batch_1.bin has a picture of class 10: CIFAR-10 has 0 to 9",
        ),
    ],
)
def test_what_is_not_cifar_10_is_named(name, content, said, tmp_path):
    cifar10(tmp_path, np.random.default_rng(0))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(said)):
        image_data.load(str(tmp_path), None)


def save_pngs(folder, pictures, mode="RGB"):
    image = pytest.importorskip("PIL.Image")
    for name, pixels in pictures.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).convert(mode).save(path)


def test_a_folder_of_pngs_has_its_folders_as_classes_and_holds_a_fifth_out(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {
        f"{kind}/{i}": rng.integers(256, size=(4, 6, 3), dtype=np.uint8) for kind in "ab" for i in range(5)
    }
    save_pngs(tmp_path, pictures)
    (tmp_path / "notes.txt").write_text("no picture")
    found = image_data.load(str(tmp_path), np.random.default_rng(1))
    assert (found.names, found.n_seen, found.pixels.shape) == (["a", "b"], 8, (10, 4, 6, 3))
    drawn = np.random.default_rng(1).permutation(10)
    for place, i in enumerate(drawn):
        np.testing.assert_array_equal(found.pixels[place], [*pictures.values()][i])
        assert found.classes[place] == i // 5


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "LA", "RGBA"])
def test_grey_pngs_of_every_kind_have_one_channel_and_without_folders_one_class(mode, tmp_path):
    levels = np.array([[0, 255], [255, 0]], np.uint8)
    save_pngs(tmp_path, {str(i): levels for i in range(5)}, mode)
    found = image_data.load(str(tmp_path), np.random.default_rng(0))
    assert (len(found.names), found.n_seen, found.pixels.shape) == (1, 4, (5, 2, 2, 1))
    np.testing.assert_array_equal(found.pixels[0, ..., 0], levels)


def test_what_is_no_folder_of_pngs_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder: give one of CIFAR-10"):
        image_data.load("nowhere", None)
    with pytest.raises(ValueError, match=r"has 0 PNGs, and no .+: give a folder of five PNGs or more"):
        image_data.load(str(tmp_path), None)
    picture = np.zeros((4, 4, 3), np.uint8)
    save_pngs(tmp_path, {str(i): picture for i in range(5)} | {"5": np.zeros((4, 5, 3), np.uint8)})
    with pytest.raises(ValueError, match=r"5\.png has 5 x 4 pixels, .*0\.png 4 x 4: make them alike"):
        image_data.load(str(tmp_path), None)
    save_pngs(tmp_path, {"0": np.zeros((65, 64, 3), np.uint8)})
    with pytest.raises(
        ValueError, match=r"0\.png has 64 x 65 pixels, and 4,096 are the most: make it smaller"
    ):
        image_data.load(str(tmp_path), None)
    whole = (tmp_path / "1.png").read_bytes()
    for content in (b"no picture", whole[:40], whole[:50] + b"\0\0\0" + whole[53:]):
        (tmp_path / "0.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"0\.png is no PNG that can be read: .+$"):
            image_data.load(str(tmp_path), None)


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        ValueError, match=re.escape('PNGs need Pillow, which is not installed: pip install -e ".[')
    ):
        image_data.load(str(tmp_path), None)


def test_kmeans_finds_what_scikit_learn_finds_from_the_same_beginning():
    cluster = pytest.importorskip("sklearn.cluster")
    points = np.random.default_rng(0).normal(size=(500, 3)) + np.arange(500)[:, None] % 4
    begin = np.random.default_rng(7).permutation(np.unique(points, axis=0))[:6]
    theirs = cluster.KMeans(6, init=begin, n_init=1, max_iter=8, tol=0, algorithm="lloyd").fit(points)
    ours = image_data.kmeans(points, 6, np.random.default_rng(7))
    np.testing.assert_allclose(ours, theirs.cluster_centers_)


def test_every_centre_is_the_mean_of_its_points_once_nothing_moves():
    points = np.random.default_rng(0).integers(17, size=(300, 1)).astype(float)
    centres = image_data.kmeans(points, K, np.random.default_rng(1), n=100)
    own = image_data.nearest(points, centres)
    np.testing.assert_allclose(centres, [points[own == i].mean(axis=0) for i in range(K)])
    np.testing.assert_array_equal(own, np.abs(points - centres.T).argmin(axis=1))


@pytest.mark.parametrize("piece", [1, 7 * 40, 1 << 22])
def test_the_nearest_of_512_colours_is_found_in_pieces(piece, monkeypatch):
    monkeypatch.setattr(image_data, "PIECE", piece)
    rng = np.random.default_rng(0)
    points, centres = rng.integers(256, size=(100, 3)).astype(float), rng.uniform(0, 255, (40, 3))
    distances = np.linalg.norm(points[:, None] - centres, axis=-1)
    np.testing.assert_array_equal(image_data.nearest(points, centres), distances.argmin(axis=-1))


def test_a_centre_without_points_is_drawn_again():
    points = np.array([[0.0], [0.0], [1.0], [10.0]])

    begin = np.array([[0.0], [1000.0], [2000.0]])  # two so far from all points that none is theirs
    rng = SimpleNamespace(permutation=lambda points: begin, choice=np.random.default_rng(0).choice)
    centres = image_data.kmeans(points, 3, rng)
    assert set(image_data.nearest(points, centres)) > {0}
    assert centres.max() <= 10


def test_a_palette_has_no_more_colours_than_the_pictures():
    with pytest.raises(ValueError, match="a palette of 3 colours is too large: the pictures have 2"):
        image_data.kmeans(np.array([[1.0], [2.0], [2.0]]), 3, np.random.default_rng(0))
    centres = image_data.kmeans(np.array([[1.0], [2.0], [2.0]]), 2, np.random.default_rng(0))
    assert sorted(centres.ravel()) == [1, 2]


def test_a_palette_of_many_pixels_is_found_from_some_of_them(monkeypatch):
    monkeypatch.setattr(image_data, "MOST_POINTS", 400)
    pixels = np.zeros((30, 8, 8, 3), np.uint8)
    pixels[::2] = (250, 10, 0)
    pixels[::3] = (0, 0, 90)
    palette = image_data.palette_of(pixels, 3, np.random.default_rng(0))
    assert sorted(palette.tolist()) == [[0, 0, 0], [0, 0, 90], [250, 10, 0]]


def test_a_picture_is_its_class_and_its_nearest_colours():
    pixels = np.array([0, 16, 9, 8]).reshape(1, 2, 2, 1)
    tokens = image_data.encode(pixels, np.array([7]), np.array([[0.5], [8.0], [15.0]]))
    assert tokens.tolist() == [[3 + 7, 0, 2, 1, 1]]
    colour = np.array([[[[250, 0, 9], [0, 200, 0]]]])
    assert image_data.encode(colour, np.array([0]), np.eye(3) * 255).tolist() == [[3, 0, 1]]


def test_of_scikit_learns_digits_the_last_fifth_is_held_out(monkeypatch):
    levels = np.arange(10 * 64).reshape(10, 64) % 17
    made = SimpleNamespace(load_digits=lambda return_X_y: (levels, np.arange(10)[::-1]))
    monkeypatch.setitem(sys.modules, "sklearn", SimpleNamespace(datasets=made))
    found = image_data.load("", np.random.default_rng(0))
    assert (found.n_seen, found.black, found.white) == (8, 16, 0)
    assert found.pixels.shape == (10, 8, 8, 1) and found.names == list("0123456789")
    np.testing.assert_array_equal(found.pixels[3, :, :, 0], levels[3].reshape(8, 8))
    np.testing.assert_array_equal(found.classes, np.arange(10)[::-1])


def levels_of(path):
    """The picture that stands in a file as three numbers."""
    return np.full((2, 3, 3), [int(word) for word in path.read_text().split()], np.uint8)


@pytest.mark.parametrize(("n", "n_seen"), [(5, 4), (9, 8), (10, 8)])
def test_a_fifth_of_the_pngs_is_held_out_and_each_keeps_its_class(n, n_seen, tmp_path, monkeypatch):
    monkeypatch.setattr(image_data, "read_png", levels_of)
    for i in range(n):
        folder = tmp_path / ["dog", "cat"][i % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.png").write_text(f"{i} {i} {i}")
    found = image_data.load(tmp_path, np.random.default_rng(0))
    assert (found.n_seen, found.names, found.black, found.white) == (n_seen, ["cat", "dog"], 0, 255)
    assert found.pixels.shape == (n, 2, 3, 1)  # as all is grey
    which = found.pixels[:, 0, 0, 0]
    assert sorted(which) == list(range(n)) and (which != np.arange(n)).any()
    np.testing.assert_array_equal(found.classes, 1 - which % 2)
    (tmp_path / "dog" / "0.png").write_text("1 2 1")
    assert image_data.load(tmp_path, np.random.default_rng(0)).pixels.shape == (n, 2, 3, 3)


def test_four_pngs_are_too_few(tmp_path, monkeypatch):
    monkeypatch.setattr(image_data, "read_png", levels_of)
    for i in range(4):
        (tmp_path / f"{i}.png").write_text("1 1 1")
    with pytest.raises(ValueError, match=r"has 4 PNGs, and no data_batch_1\.bin"):
        image_data.load(tmp_path, np.random.default_rng(0))
    (tmp_path / "4.png").write_text("2 2 2")
    assert image_data.load(tmp_path, np.random.default_rng(0)).names == [tmp_path.name]


def test_a_centre_to_which_no_point_is_nearest_is_drawn_again(monkeypatch):
    points = 1 + np.random.default_rng(0).random((9, 2))
    monkeypatch.setattr(image_data, "nearest", lambda points, centres: np.zeros(len(points), int))
    found = image_data.kmeans(points, 3, np.random.default_rng(1), n=2)
    np.testing.assert_allclose(found[0], points.mean(axis=0))
    assert all((centre == points).all(axis=1).any() for centre in found[1:])


def test_greys_go_from_dark_to_light():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1))
    for seed in range(5):
        found = image_data.palette_of(pixels, 6, np.random.default_rng(seed))[:, 0]
        assert (np.diff(found) > 0).all()
