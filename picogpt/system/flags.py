"""The flags that several commands have: each one's type, what is allowed, and what it means.

    def adder(*, steps: flags.Steps = 1000, seed: Annotated[flags.Seed, "of the batches"] = 1337):

The default is the command's own. What the annotations say is in signature.py.
"""

from typing import Annotated

from picogpt.system.signature import CALL, FREE, OneOf, Range

# Numbers
Count = Annotated[int, Range(1, below=2**31)]
Whole = Annotated[int, Range(0, below=2**31)]
Tokens = Annotated[int, Range(0, below=2**63)]  # of a text of any length
Real = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, below=1)]

# Where models are, and what computes
Model = Annotated[str, "124M, 355M, 774M or 1558M, OpenAI's GPT-2, downloaded on first use; or a folder"]
ModelsDir = Annotated[str, "DIR", "where downloaded models are"]
Special = Annotated[
    bool, "control tokens in a text, such as <|endoftext|>, are their ids; without this they are plain text"
]
Offline = Annotated[bool, "download nothing"]
Dtype = Annotated[
    str,
    OneOf("float32", "bfloat16", "int8"),
    "what the matrices are held in: float32; bfloat16, half the memory; or int8, a quarter, and less exact",
]
NoFast = Annotated[bool, "write without compiled products, also where Numba is installed for them"]
Threads = Annotated[
    int, Range(0, below=2**16), FREE, "compute on so many cores ({}: on all, or as OMP_NUM_THREADS says)"
]
Processes = Annotated[
    int,
    Range(1, below=2**16),
    FREE,
    "share each batch among so many processes, with one thread each; or as many as mpiexec has started",
]
Seed = Annotated[int, Range(0, below=2**63), "of the initial weights, the batches and the dropout"]

# A run: its text and its folder
File = Annotated[str, FREE, "a UTF-8 text"]
Out = Annotated[str, "FOLDER", CALL, "where the model, the log and the result go"]
Resume = Annotated[
    bool,
    CALL,
    "go on from the state, saved in FOLDER every half minute, to the same result, by the flags that the run"
    " began with",
]
Overwrite = Annotated[bool, CALL, "begin anew in a FOLDER that holds a training, instead of refusing to"]

# The sizes of a model
Layers = Annotated[Count, "blocks"]
Heads = Annotated[Count, "heads of attention, among which the channels are divided"]
Channels = Annotated[Count, "channels"]
Context = Annotated[Count, "context in tokens"]

# A training
Steps = Annotated[Count, "parameter updates"]
BatchSize = Annotated[Count, "windows of n_ctx tokens in a batch"]
LearningRate = Annotated[Real, "learning rate: after warm-up, a cosine takes it down to a tenth of this"]
Warmup = Annotated[Whole, "updates in which the learning rate rises linearly to --lr"]
Dropout = Annotated[Share, "share of what is dropped on embeddings, attention and the residual stream"]
Precision = Annotated[
    str,
    OneOf("float32", "float16"),
    "of matrix products. float16, with weights in float32 and a scaled loss, is for a graphics processor: on"
    " a CPU it is slower",
]
ValShare = Annotated[Share, "share of FILE that is held out at its end"]
EvalEvery = Annotated[Count, "steps between evaluations"]
