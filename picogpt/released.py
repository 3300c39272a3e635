"""The models that OpenAI has released: their files, where these are, and what has been published of them."""

from pathlib import Path

from picogpt.shapes import SIZES

BASE_URL = "https://openaipublic.blob.core.windows.net/gpt-2/models"
DATA = "model.ckpt.data-00000-of-00001"
FILES = {  # OpenAI's files of one model: (bytes, sha256) for 124M
    "checkpoint": (77, "dd1b025d2e155283f5e300ce95bf6d5b6bc0f7fe010db73daa6975eb896ab9cb"),
    "hparams.json": (90, "d9d56e4121c427164e0c55c6f03c08e1daf9002b9b672825112d19097b680318"),
    "encoder.json": (1042301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
    "vocab.bpe": (456318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
    "model.ckpt.index": (5215, "71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687"),
    "model.ckpt.meta": (471155, "4668c448fa11531fd6700460487f73e82d3272960cea942252f8744bf225c77b"),
    DATA: (497759232, "2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118"),
}
DATA_BYTES = {"355M": 1419292672, "774M": 3096120320, "1558M": 6230444800}  # of these no sha256 is published


def fetch_gpt2(size, models_dir="models", base_url=BASE_URL):
    """Fetch OpenAI's seven files of a model to `models_dir`/`size`, which is returned.

    Files that are there are kept, half-fetched ones gone on with; see `download.download` for the errors.
    """
    from picogpt.download import download  # here, because importing requests takes longer than generating

    if size not in SIZES:
        raise ValueError(f"OpenAI has no GPT-2 of size {size}, but {', '.join(SIZES)}")
    folder = Path(models_dir, size)
    for name, (n_bytes, sha256) in FILES.items():
        if size != "124M":
            n_bytes, sha256 = DATA_BYTES[size] if name == DATA else None, None
        download(f"{base_url}/{size}/{name}", folder / name, n_bytes, sha256)
    return folder
