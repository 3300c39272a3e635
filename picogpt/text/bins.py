"""Token ids in files, as nanoGPT prepares them: train.bin and val.bin in a folder, and larger than memory.

    ids = Ids("data/train.bin")       len(ids) and ids[5:9], which alone is read from the disk

A file has two bytes for each id, the lower one first, and nothing else. tools/data/corpus.py writes such
folders, each with the tokenizer whose ids they are.
"""

import hashlib
from pathlib import Path

import numpy as np

from picogpt.system.files import map_file, n_bytes, open_file
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder

TRAIN, VAL, DTYPE = "train.bin", "val.bin", "<u2"
MOST = 1 << 16  # tokens that 16 bits can tell apart
PIECE = 1 << 24  # bytes that are read at a time to check a file


class Ids:
    """The ids of a file, uint16, as an array of one axis that stays on the disk: len(ids), ids[places].

    The file is mapped anew at each call, for one batch. The pages that a mapping has read count as the
    program's memory as long as it is there, and a training reads them all in the end. To another process goes
    the file's name: each opens the file itself.
    """

    def __init__(self, path):
        self.path, self.size = Path(path), n_bytes(Path(path))

    def __len__(self):
        return self.size // 2

    def __getitem__(self, places):
        content = map_file(self.path)
        if len(content) != self.size:
            raise ValueError(f"{self.path} has become another file meanwhile: begin anew, or --resume")
        return content.view(DTYPE)[places]


def open_folder(folder, n_vocab, val_share):
    """Return (ids to train on, held-out ids), and a sha256 of both; without val_share nothing is held out.

    Both files are read once, a piece at a time. ValueError or FileNotFoundError if one is missing or has
    ids that a vocabulary of n_vocab does not.
    """
    train, val = Path(folder, TRAIN), Path(folder, VAL)
    if not train.is_file():
        raise FileNotFoundError(
            f"{folder} is a folder without {TRAIN}: give a text, or make one by tools/data/corpus.py --bins"
        )
    if val_share and not val.is_file():
        raise FileNotFoundError(f"{val} is missing: copy it there, or hold nothing out with --val_share 0")
    paths = [train, val] if val_share else [train]
    sha256 = hashlib.sha256("".join(checked(path, n_vocab) for path in paths).encode()).hexdigest()
    return (Ids(train), Ids(val) if val_share else np.empty(0, np.uint16)), sha256


def checked(path, n_vocab):
    """Return the sha256 of a file whose ids are all less than n_vocab; else ValueError says what is wrong."""
    digest, seen = hashlib.sha256(), 0
    with open_file(path) as file:
        while piece := file.read(PIECE):
            if len(piece) % 2:
                raise ValueError(f"{path} has an odd number of bytes, and each id takes 2: copy it again")
            ids = np.frombuffer(piece, DTYPE)
            if ids.max() >= n_vocab:
                at = int((ids >= n_vocab).argmax())
                raise ValueError(
                    f"{path} has the id {ids[at]} at place {seen + at}, and the vocabulary ends at"
                    f" {n_vocab - 1}: give the tokenizer that made it (--tokenizer)"
                )
            digest.update(piece)
            seen += len(ids)
    if not seen:
        raise ValueError(f"{path} is empty: make it again, or hold nothing out with --val_share 0")
    return digest.hexdigest()


def tokenizer_in(folder):
    """Return the tokenizer that lies beside the ids."""
    if Path(folder, "vocab.bpe").is_file():
        return load_encoder(folder)
    if Path(folder, "chars.json").is_file():
        return CharEncoder.load(folder)
    meta = ""
    if Path(folder, "meta.pkl").exists():
        meta = " (meta.pkl is a pickle, which is not read: docs/train.md)"
    raise FileNotFoundError(
        f"{folder} has no tokenizer, vocab.bpe or chars.json{meta}: give the one that made the ids, such as"
        " --tokenizer gpt2"
    )
