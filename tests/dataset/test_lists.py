"""Lists of photos: columns, delimiters, ids, splits, and rows that name nothing or too much."""

import json
import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow
import pyarrow.parquet
import pytest

from lenslet.config.train import ListParams
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from tests.dataset.test_layouts import counts, found, left_out, write
from tests.support.photos import BLUE, GREEN, RED, plain


def listed(folder: Path, name: str, text: str | bytes, *files: str | bytes) -> Path:
    """A list in `folder`, and empty photos beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, *files)
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


PHOTOS = ("images/a.jpg", "images/b.jpg", "images/c.png")
EXPECTED = {"images/a.jpg": ("cat", None), "images/b.jpg": ("dog", None), "images/c.png": ("cat", None)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "image,label\nimages/a.jpg,cat\nimages/b.jpg,dog\nimages/c.png,cat\n"),
        ("list.csv", "\ufefffilename;class;width\nimages/a.jpg;cat;1\nimages/b.jpg;dog;2\nimages/c.png;cat;3\n"),
        ("list.tsv", "path\tcategory\nimages/a.jpg\tcat\nimages/b.jpg\tdog\nimages/c.png\tcat\n"),
        ("list.txt", "path|label\nimages/a.jpg|cat\nimages/b.jpg|dog\n./images/c.png|cat\n"),
        ("train.csv", "id,label\na,cat\nb,dog\nc,cat\n"),  # ids without extension, as Kaggle and Zindi have them
        ("Train.csv", "Image_ID,Label,Extra\na.jpg,cat,\nb.jpg,dog,\nc.png,cat,x\n"),
        ("list.csv", "image_id, cat , dog\na,1,0\nb,0,1\nc,1,0\n"),  # one column for each class
        ("list.csv", "breed,id\ncat,a\ndog,b\ncat,c\n"),
        ("list.csv", "image,label\nimages\\a.jpg,cat\nimages\\b.jpg,dog\nimages\\c.png,cat\n"),
        ("list.jsonl", '{"file_name": "a.jpg", "label": "cat"}\n{"file_name": "b.jpg", "label": "dog"}\n\n'
                       '{"file_name": "c.png", "label": "cat", "note": null}\n'),
        ("list.json", '[{"path": "images/a.jpg", "label": "cat"}, {"path": "b", "label": "dog"},'
                      '{"path": "c", "label": "cat"}]'),
        ("list.csv", "image,label\nimages/a.jpg,cat\nimages/b.jpg,dog\nimages/c.png,cat\n".encode("utf-16")),
        ("list.csv", "image,label\nimages/a.jpg,cat\nimages/b.jpg,dog\nimages/c.png,cat\n".encode("utf-16-le")),
        ("list.csv", "\ufeffimage,label\r\nimages/a.jpg,cat\r\nimages/b.jpg,dog\r\nimages/c.png,cat\r\n"),
        ("list.csv", "image,label\rimages/a.jpg,cat\rimages/b.jpg,dog\rimages/c.png,cat\r"),  # old Excel for Mac
        ("list.csv", "sep=;\nimage;label\na.jpg;cat\nb.jpg;dog\nc.png;cat\n"),
        ("list.csv", "image,label,,\na.jpg,cat,,\n,,,\nb.jpg,dog,,\n  , ,,\nc.png,cat,,\n,,,\n"),  # Excel
        ("list.csv", ",image,label\n0,a.jpg,cat\n1,b.jpg,dog\n2,c.png,cat\n"),  # pandas
        ("list.csv", 'image,label\na.jpg,"[""cat""]"\nb.jpg,[\'dog\']\nc.png,[\'cat\']\n'),
        ("list.csv", "image,label\nA.JPG,cat\nImages/B.jpeg,dog\nIMAGES/C.PNG,cat\n"),
        ("list.csv", "image,label\n/kaggle/input/x/images/a.jpg,cat\n/kaggle/input/x/images/b.jpg,dog\n"
                     "/kaggle/input/x/images/c.png,cat\n"),
        ("list.csv", "image,label\nC:\\Users\\me\\a.jpg,cat\nC:\\Users\\me\\b.jpg,dog\nD:\\c.png,cat\n"),
        ("list.csv", "image,label\n../input/x/images/a.jpg,cat\nx/images/b.jpg,dog\n./x/images/c.png,cat\n"),
        ("list.csv", "TRAIN,gs://bucket/images/a.jpg,cat\nTEST,gs://bucket/images/b.jpg,dog\n"
                     ",gs://bucket/images/c.png,cat\n"),  # AutoML
        ("list.txt", "images/a.jpg cat\nimages/b.jpg dog\nimages/c.png cat\n"),  # Caffe, MMPretrain
        ("list.lst", "0\tcat\timages/a.jpg\n1\tdog\timages/b.jpg\n2\tcat\timages/c.png\n"),  # MXNet
        ("list.json", '{"images/a.jpg": "cat", "images/b.jpg": "dog", "c.png": "cat"}'),
        ("list.json", '{"cat": ["images/a.jpg", "c.png"], "dog": ["b.jpg"]}'),
        ("list.jsonl", '{"file_name": "a.jpg", "label": "cat", "note": "one\u2028two\u0085three"}\n'
                       '{"file_name": "b.jpg", "label": "dog"}\r\n{"file_name": "c.png", "label": "cat"}\n'),
        ("list.jsonl", '{"file_name": "a.jpg", "label": ["cat"]}\n{"file_name": "b.jpg", "label": "dog"}\n'
                       '{"file_name": "c.png", "label": {"name": "cat"}}\n'),
        ("list.manifest", "".join(
            json.dumps({"source-ref": f"s3-of-us/images/{name}", "kind": number,
                        "kind-metadata": {"class-name": label, "type": "groundtruth/image-classification"}}) + "\n"
            for name, number, label in (("a.jpg", 0, "cat"), ("b.jpg", 1, "dog"), ("c.png", 0, "cat")))),
        ("list.jsonl", "".join(
            json.dumps({"imageGcsUri": f"gs://bucket/{name}", "classificationAnnotation": {"displayName": label}})
            + "\n" for name, label in (("a.jpg", "cat"), ("b.jpg", "dog"), ("c.png", "cat")))),  # Vertex AI
    ],
)  # fmt: skip
def test_lists_are_read_as_people_have_them(name: str, text: str | bytes, tmp_path: Path) -> None:
    listing = find_photos(listed(tmp_path, name, text, *PHOTOS))
    automl = {
        "images/a.jpg": ("cat", "train"),
        "images/b.jpg": ("dog", "test"),
        "images/c.png": ("cat", None),
    }
    assert found(listing) == (automl if "TRAIN," in str(text) else EXPECTED)
    assert left_out(listing) == {}
    assert listing.layout == "a list"


def test_parquet_with_paths_and_numbers(tmp_path: Path) -> None:
    write(tmp_path, "images/1.jpg", "images/2.jpg")
    table = pyarrow.table({"id": [1, 2], "label": [7, 8], "patient": [None, "p"]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    listing = find_photos(tmp_path / "list.parquet")
    assert found(listing) == {"images/1.jpg": ("7", None), "images/2.jpg": ("8", None)}


def test_parquet_with_photos_and_class_names_inside(tmp_path: Path) -> None:
    """As data sets of Hugging Face are stored."""
    images = [{"bytes": plain(RED), "path": "x.png"}, {"bytes": b"other", "path": None}]
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pyarrow.table({"image": images, "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    listing = find_photos(tmp_path / "list.parquet", cache=tmp_path / "cache")
    assert [(photo.path.read_bytes(), photo.label) for photo in listing.photos] == [
        (plain(RED), "dog"),
        (b"other", "cat"),
    ]


def test_parquet_class_without_a_name(tmp_path: Path) -> None:
    """Hugging Face writes -1 for a photo that has no label."""
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    for number, error in ((-1, None), (2, r"class 2, and its features name 2 classes")):
        images = [{"bytes": plain(colour), "path": None} for colour in (RED, BLUE, GREEN)]
        table = pyarrow.table({"image": images, "label": [1, 0, number]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
        pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
        if error:
            with pytest.raises(DatasetError, match=error):
                find_photos(tmp_path / "list.parquet", cache=tmp_path / "cache")
            continue
        listing = find_photos(tmp_path / "list.parquet", cache=tmp_path / "cache")
        assert [photo.label for photo in listing.photos] == ["dog", "cat"]
        assert [each.reason for each in listing.left_out] == ["no label"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "key,kind,part,person,label\na,cat,training,p1,x\nb,dog,dev,p2,y\nc,cat,eval,p1,z\n"
    path = listed(tmp_path, "list.csv", text, *PHOTOS)
    params = ListParams("auto", "key", "kind", "part", "person")
    listing = find_photos(path, params)
    assert counts(listing) == {("train", "cat"): 1, ("validation", "dog"): 1, ("test", "cat"): 1}
    assert [photo.group for photo in listing.photos] == ["p1", "p2", "p1"]


def test_paths_can_be_relative_to_another_folder(tmp_path: Path) -> None:
    path = listed(tmp_path / "lists", "list.csv", "image,label\na.jpg,cat\nb.jpg,dog\n")
    write(tmp_path / "photos", "images/a.jpg", "images/b.jpg", "images/c.jpg")
    listing = find_photos(path, ListParams(root=str(tmp_path / "photos")))
    assert found(listing) == {"images/a.jpg": ("cat", None), "images/b.jpg": ("dog", None)}
    assert left_out(listing) == {"images/c.jpg": "unlisted"}


def test_split_column_counts_if_it_holds_splits(tmp_path: Path) -> None:
    text = "image,label,split\na,cat,train\nb,dog,valid\nc,cat,\n"
    listing = find_photos(listed(tmp_path, "list.csv", text, *PHOTOS))
    assert counts(listing) == {("train", "cat"): 1, ("validation", "dog"): 1, (None, "cat"): 1}
    text = "image,label,set\na,cat,red\nb,dog,blue\nc,cat,red\n"
    listing = find_photos(listed(tmp_path, "list.csv", text))
    assert counts(listing) == {(None, "cat"): 2, (None, "dog"): 1}
    assert listing.notes == (
        f"column 'set' of {tmp_path}/list.csv holds 'blue', which is no split: the splits are drawn",
    )


def test_every_row_and_file_is_accounted_for(tmp_path: Path) -> None:
    text = "id,label\na,cat\nb,dog\nb,dog\nc,cat\nc,dog\ngone,cat\ntwice,dog\nd,\n,cat\n\ne,$5|x\n".replace(
        "\n\n", "\n"
    )
    files = (
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "d.jpg",
        "e.jpg",
        "x/twice.jpg",
        "y/twice.jpg",
        ".hidden.jpg",
        "more.jpg",
    )
    listing = find_photos(listed(tmp_path, "list.csv", text, *files))
    assert found(listing) == {"a.jpg": ("cat", None), "b.jpg": ("dog", None), "e.jpg": ("$5|x", None)}
    reasons = Counter((str(each.path.relative_to(tmp_path)), each.reason) for each in listing.left_out)
    assert reasons == {
        ("b.jpg", "listed twice"): 1,
        ("c.jpg", "labels disagree"): 2,
        ("d.jpg", "no label"): 1,
        ("gone", "missing"): 1,
        ("twice", "missing"): 1,
        (".", "missing"): 1,
        ("x/twice.jpg", "unlisted"): 1,
        ("y/twice.jpg", "unlisted"): 1,
        ("more.jpg", "unlisted"): 1,
        (".hidden.jpg", "hidden"): 1,
    }
    [twice] = [each for each in listing.left_out if each.path.name == "twice" and each.reason == "missing"]
    assert twice.detail == "2 files have this name, x/twice.jpg and y/twice.jpg among them"


def test_list_called_train_means_the_photos_of_train(tmp_path: Path) -> None:
    files = ("train/1.jpg", "train/2.jpg", "test/1.jpg", "test/2.jpg")
    listing = find_photos(listed(tmp_path, "train.csv", "id,label\n1,cat\n2,dog\n", *files))
    assert found(listing) == {"train/1.jpg": ("cat", None), "train/2.jpg": ("dog", None)}
    assert left_out(listing) == {"test/1.jpg": "unlisted", "test/2.jpg": "unlisted"}


def test_names_that_are_not_utf_8_are_found(tmp_path: Path) -> None:
    listing = find_photos(
        listed(tmp_path, "list.csv", b"image,label\ncaf\xe9.jpg,cat\nb.jpg,dog\n", b"caf\xe9.jpg", "b.jpg")
    )
    assert [os.fsencode(photo.path.name) for photo in listing.photos] == [b"caf\xe9.jpg", b"b.jpg"]


class Photos(BaseHTTPRequestHandler):
    """Answers with a photo, unless its path says otherwise."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        data = plain(RED)
        self.send_response(404 if "gone" in self.path else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def test_photos_at_urls_are_fetched_once(tmp_path: Path) -> None:
    Photos.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Photos) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        text = f"url,label\n{url}/a.png?x=1,cat\n{url}/b.png,dog\n{url}/gone.png,dog\n"
        path = listed(tmp_path, "list.csv", text)
        for _ in range(2):
            listing = find_photos(path, cache=tmp_path / "cache")
        server.shutdown()
    assert sorted(Photos.asked) == ["/a.png?x=1", "/b.png", "/gone.png", "/gone.png"]
    assert [photo.path.read_bytes() == plain(RED) for photo in listing.photos] == [True, True]
    [lost] = listing.left_out
    assert (lost.reason, lost.detail[:42]) == ("missing", "cannot be fetched: 404 Client Error: Not F")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "list.csv",
            "a,b\n1,2\n",
            r"list\.csv has no image column, but 'a', 'b': name it with --image-column",
        ),
        (
            "list.csv",
            "id,b\n1,2\n",
            r"list\.csv has no label column, but 'id', 'b': name it with --label-column",
        ),
        ("list.csv", "", r"list\.csv has no image column, but nothing"),
        ("list.csv", "id,label\n1,cat,x\n", r"list\.csv is no table .*line 2 has 3 cells, the header has 2"),
        (
            "list.csv",
            "# a\n# b\nid,label\n1,cat,x\n",
            r"list\.csv is no table .*line 4 has 3 cells, the header has 2",
        ),
        ("list.csv", "id,id\n1,cat\n", r"two of its columns are called 'id'"),
        ("list.jsonl", "{", r"list\.jsonl is no table that can be read"),
        ("list.json", '{"id": 1}', r"it must hold objects, one for each photo"),
        ("list.parquet", "no", r"list\.parquet is no table that can be read"),
        (
            "list.csv",
            "id,label\n1,cat\n",
            r"list\.csv names 1 photo, and not one is there: '1', for example, was ",
        ),
    ],
)
def test_list_that_cannot_be_read_is_one_sentence(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        find_photos(listed(tmp_path, name, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("image_column", r"has no column 'x', but 'id', 'label', 'part': name it with --image-column"),
        ("label_column", r"has no column 'x', .*--label-column"),
        ("group_column", r"has no column 'x', .*--group-column"),
        ("split_column", r"has no column 'x', .*--split-column"),
    ],
)
def test_column_that_is_not_there_is_one_sentence(column: str, message: str, tmp_path: Path) -> None:
    path = listed(tmp_path, "list.csv", "id,label,part\n1,cat,3\n2,dog,4\n")
    with pytest.raises(DatasetError, match=message):
        find_photos(path, ListParams(**{column: "x"}))
    with pytest.raises(
        DatasetError, match=r"column 'part' of .* holds '3': splits are called train, validation"
    ):
        find_photos(path, ListParams(split_column="part"))


def test_folder_without_classes_points_to_its_list(tmp_path: Path) -> None:
    listed(tmp_path, "train.csv", "id,kind\n1,cat\n", "images/1.jpg")
    with pytest.raises(
        DatasetError, match=r"has \['images'\]; is .*/train.csv the list of them\? then give it"
    ):
        find_photos(tmp_path)


def test_cells_that_no_file_can_be_called(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "label": "cat"}, {"image": "b.jpg", "label": "dog"}]
    rows += [
        {"image": "x\0.jpg", "label": "cat"},
        {"image": "y" * 300, "label": "cat"},
        {"image": "z/" * 3000},
    ]
    path = listed(tmp_path, "list.jsonl", "\n".join(map(json.dumps, rows)), *PHOTOS)
    listing = find_photos(path)
    assert len(listing.photos) == 2
    assert Counter(each.reason for each in listing.left_out) == {"missing": 3, "unlisted": 1}
    path = listed(tmp_path, "list.csv", f"image,label\na.jpg,cat\nb.jpg,dog\n{'y' * 300}/1.jpg,cat\n")
    assert len(find_photos(path).photos) == 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("/data/train/1.jpg,cat", {}),  # here is test/1.jpg alone
        ("/data/dog/1.jpg,dog", {}),  # this one is a cat's
        ("/data/x/9.jpg,dog", {}),
    ],
)
def test_path_of_another_machine_means_no_other_photo(row: str, expected: object, tmp_path: Path) -> None:
    files = ("test/1.jpg",) if "train" in row else ("cat/1.jpg", "dog/2.jpg")
    text = f"image,label\n/data/cat/5.jpg,cat\n/data/dog/6.jpg,dog\n{row}\n"
    listing = find_photos(listed(tmp_path, "list.csv", text, "5.jpg", "6.jpg", *files))
    assert found(listing) == {"5.jpg": ("cat", None), "6.jpg": ("dog", None)}


def test_two_paths_of_another_machine_never_mean_one_photo(tmp_path: Path) -> None:
    text = "image,label\n/a/x/1.jpg,cat\n/a/y/1.jpg,dog\n/a/x/2.jpg,cat\n/a/x/3.jpg,dog\n"
    listing = find_photos(listed(tmp_path, "list.csv", text, "1.jpg", "2.jpg", "3.jpg"))
    assert found(listing) == {"2.jpg": ("cat", None), "3.jpg": ("dog", None)}


def test_no_row_that_is_found_is_said_with_an_example(tmp_path: Path) -> None:
    path = listed(tmp_path, "list.csv", "image,label\n/x/u.jpg,cat\n/x/v.jpg,dog\n", *PHOTOS)
    with pytest.raises(
        DatasetError, match=r"names 2 photos, and not one is there: '/x/u\.jpg', for .*with --root"
    ):
        find_photos(path)


@pytest.mark.parametrize("name", ["list.csv", "_classes.csv"])
def test_photo_of_no_class_or_of_several(name: str, tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg,{number % 2},{1 - number % 2},\n" for number in range(20))
    text = f"filename,cat,dog,note\n{rows}20.jpg,1,1,\n21.jpg,0,0,\n"
    listing = find_photos(listed(tmp_path, name, text, *(f"{number}.jpg" for number in range(22))))
    assert counts(listing) == {(None, "cat"): 10, (None, "dog"): 10}
    assert {each.path.name: each.detail for each in listing.left_out} == {
        "20.jpg": "the list has several: cat, dog",
        "21.jpg": "the list has none for it",
    }


def test_labels_of_photos_that_have_several_are_refused(tmp_path: Path) -> None:
    text = "image,cat,dog\n1.jpg,1,1\n2.jpg,1,1\n3.jpg,1,0\n"
    with pytest.raises(
        DatasetError, match=r"gives 2 of 3 photos several labels each: a classifier learns one"
    ):
        find_photos(listed(tmp_path, "_classes.csv", text, "1.jpg", "2.jpg", "3.jpg"))
    text = "image,label,night,rain\n1.jpg,,1,1\n2.jpg,,0,0\n3.jpg,,1,0\n"  # attributes are no classes
    with pytest.raises(DatasetError, match=r"must hold two classes at least, but has none"):
        find_photos(listed(tmp_path, "list.csv", text, "1.jpg", "2.jpg", "3.jpg"))


def test_one_photo_by_two_paths_is_one(tmp_path: Path) -> None:
    text = "image,label\np/x.jpg,cat\np/../p/x.jpg,cat\n./p/x.jpg,cat\np/y.jpg,dog\n"
    listing = find_photos(listed(tmp_path, "list.csv", text, "p/x.jpg", "p/y.jpg"))
    assert [each.reason for each in listing.left_out] == ["listed twice", "listed twice"]
    assert [photo.path.name for photo in listing.photos] == ["x.jpg", "y.jpg"]


def test_copies_inside_parquet_are_photos_as_in_folders(tmp_path: Path) -> None:
    images = [{"bytes": data, "path": None} for data in (b"1", b"1", b"2", b"1")]
    table = pyarrow.table({"image": images, "label": ["cat", "cat", "dog", "dog"]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    for _ in range(2):
        listing = find_photos(tmp_path / "list.parquet", cache=tmp_path / "cache")
        assert [(photo.path.read_bytes(), photo.label) for photo in listing.photos] == [
            (b"1", "cat"), (b"1", "cat"), (b"2", "dog"), (b"1", "dog"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    "features",
    [
        [{"name": "label", "dtype": {"class_label": {"names": {"0": "cat", "1": "dog"}}}}, {"name": "image"}],
        {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}},
    ],
)
def test_features_of_hugging_face_in_both_spellings(features: object, tmp_path: Path) -> None:
    images = [{"bytes": plain(colour), "path": None} for colour in (RED, BLUE)]
    table = pyarrow.table({"image": images, "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    listing = find_photos(tmp_path / "list.parquet", cache=tmp_path / "cache")
    assert [photo.label for photo in listing.photos] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "image,label\na.jpg,cat\nc.png,NaN\nd.jpg,n/a\nimages/b.jpg,dog\n"),
        ("list.csv", "image,label,mask\na.jpg,cat," + "1 " * 100_000 + "\nb.jpg,dog,\nc.png,,\n"),
        ("list.csv", "image,label\nimages%2Fa.jpg,cat\nimages/%62.jpg,dog\n"),
        ("list.manifest", '{"source-ref": "s3://nowhere/a.jpg", "label": "cat"}\n'
                          '{"source-ref": "s3://nowhere/b.jpg", "label": "dog"}\n'),
        ("list.json", '{"classes": ["cat", "dog"], "labels": {"a": 0, "b": 1}}'),  # FiftyOne
        ("list.csv", "# version 2\n#\nimage,label\na.jpg,cat\nb.jpg,dog\n"),
        ("list.csv", "#image,label\na.jpg,cat\nb.jpg,dog\n"),
        ("list.csv", "# of 2026, by us\n# image, label\na.jpg,cat\nb.jpg,dog\n"),
        ("list.csv", "image,label,split\na.jpg,cat,\nb.jpg,dog,\nc.png,,unlabeled\n"),
        ("list.jsonl", '{"image": {"path": "a.jpg"}, "annotation": {"label": "cat"}}\n'
                       '{"image": {"path": "b.jpg"}, "annotation": {"label": "dog"}}\n'),
        ("list.json", '{"a.jpg9": {"filename": "a.jpg", "size": 9, "regions": [], "file_attributes": {"kind": "cat"}},'
                      '"b.jpg9": {"filename": "b.jpg", "size": 9, "regions": [], "file_attributes": {"kind": "dog"}}}'),
    ],
)  # fmt: skip
def test_cells_as_programs_write_them(name: str, text: str, tmp_path: Path) -> None:
    listing = find_photos(listed(tmp_path, name, text, *PHOTOS))
    assert found(listing) == {"images/a.jpg": ("cat", None), "images/b.jpg": ("dog", None)}


def test_pointer_of_git_lfs_says_what_to_do(tmp_path: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
    with pytest.raises(
        DatasetError, match=r"it is a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    ):
        find_photos(listed(tmp_path, "list.csv", text))


@pytest.mark.parametrize("ids", [("1", "2"), ("1.0", "2.0"), ("0001", "0002"), ("01.JPG", "2.jpeg")])
def test_ids_that_lost_their_zeros_are_found(ids: tuple[str, str], tmp_path: Path) -> None:
    """As spreadsheets and pandas write them."""
    path = listed(tmp_path, "list.csv", f"id,label\n{ids[0]},cat\n{ids[1]},dog\n", "0001.jpg", "0002.jpg")
    assert found(find_photos(path)) == {"0001.jpg": ("cat", None), "0002.jpg": ("dog", None)}


def test_ids_that_could_be_two_photos_are_none(tmp_path: Path) -> None:
    path = listed(
        tmp_path, "list.csv", "id,label\n1,cat\n002,dog\n3,dog\n", "01.jpg", "001.jpg", "2.jpg", "03.jpg"
    )
    assert found(find_photos(path)) == {"2.jpg": ("dog", None), "03.jpg": ("dog", None)}


def test_other_ending_is_said_and_not_taken(tmp_path: Path) -> None:
    """It may be a mask."""
    path = listed(
        tmp_path, "list.csv", "image,label\na.jpg,cat\nb.jpg,dog\nc.jpg,dog\n", "a.jpg", "b.jpg", "c.png"
    )
    listing = find_photos(path)
    assert [photo.path.name for photo in listing.photos] == ["a.jpg", "b.jpg"]
    assert listing.left_out[0].detail == "no file has this path or name, but c.png is there"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "image,label,is_valid\na,cat,False\nb,dog,True\n"),  # fastai
        ("list.json", '{"train": [{"image": "a", "label": "cat"}], "val": [{"image": "b", "label": "dog"}]}'),
    ],
)
def test_splits_as_programs_write_them(name: str, text: str, tmp_path: Path) -> None:
    listing = find_photos(listed(tmp_path, name, text, *PHOTOS))
    assert counts(listing) == {("train", "cat"): 1, ("validation", "dog"): 1}


def test_split_of_another_name_beside_known_ones_is_refused(tmp_path: Path) -> None:
    """Drawn again, photos that were to judge could be learned from."""
    text = "image,label,split\na,cat,train\nb,dog,holdout\n"
    with pytest.raises(
        DatasetError, match=r"'split' of .* holds 'holdout': splits .*; --split-column none draws them"
    ):
        find_photos(listed(tmp_path, "list.csv", text, *PHOTOS))


def test_half_a_character_names_no_photo(tmp_path: Path) -> None:
    rows = [
        {"path": "a.jpg", "label": "cat"},
        {"path": "b.jpg", "label": "dog\ud83d"},
        {"path": "\ud800.jpg", "label": "cat"},
    ]
    path = listed(tmp_path, "list.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows), "a.jpg", "b.jpg")
    listing = find_photos(path)
    assert found(listing) == {"a.jpg": ("cat", None), "b.jpg": ("dog\ufffd", None)}
    assert left_out(listing) == {"\ufffd.jpg": "missing"}
