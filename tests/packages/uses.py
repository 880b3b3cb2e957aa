"""A use of each of some popular packages: what it computes of a number, as text.

A function's docstring is the name of its package for pip.
"""

from __future__ import annotations

from collections.abc import Callable


def numpy(x: float) -> str:
    """numpy"""
    import numpy as np

    matrix = np.arange(9.0).reshape(3, 3) + np.eye(3) * x
    return repr((np.linalg.solve(matrix, np.ones(3)).tolist(), np.fft.fft(matrix[0]).tolist()))


def scipy(x: float) -> str:
    """scipy"""
    from scipy import integrate, optimize, stats

    found = optimize.minimize(lambda v: (v[0] - x) ** 2, [0.0])
    return repr((stats.norm.cdf(x), integrate.quad(lambda v: v * v, 0, x)[0], found.x.tolist()))


def pandas(x: float) -> str:
    """pandas"""
    import pandas as pd

    frame = pd.DataFrame({"key": ["a", "b", "a"], "value": [x, 2.0, 3.0]})
    days = pd.date_range("2024-01-30", periods=3, freq="D").strftime("%d %b").tolist()
    return repr((frame.groupby("key").value.agg(["sum", "std"]).to_csv(), days))


def polars(x: float) -> str:
    """polars"""
    import polars as pl

    frame = pl.DataFrame({"key": ["a", "b", "a"], "value": [x, 2.0, 3.0]})
    grouped = frame.lazy().group_by("key").agg(pl.col("value").sum()).sort("key").collect()
    return grouped.write_csv()


def pyarrow(x: float) -> str:
    """pyarrow"""
    import io

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pa.table({"value": [x, 2.0, None]})
    file = io.BytesIO()
    pq.write_table(table, file)
    return repr((pc.sum(pq.read_table(file)["value"]).as_py(), table.schema.to_string()))


def duckdb(x: float) -> str:
    """duckdb"""
    import duckdb as db

    connection = db.connect(config={"threads": 1})
    query = "SELECT sum(i * ?), median(i) FROM range(1000) t(i)"
    return repr(connection.execute(query, [x]).fetchall())


def sklearn(x: float) -> str:
    """scikit-learn"""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LinearRegression

    rows = np.arange(40.0).reshape(20, 2)
    forest = RandomForestClassifier(5, random_state=0).fit(rows, rows[:, 0] > x * 10)
    line = LinearRegression().fit(rows, rows @ [1.0, x])
    return repr((forest.predict(rows).tolist(), np.round(line.predict(rows), 9).tolist()))


def statsmodels(x: float) -> str:
    """statsmodels"""
    import numpy as np
    import statsmodels.api as sm

    design = sm.add_constant(np.arange(10.0))
    return repr(np.round(sm.OLS(np.arange(10.0) ** 2 * x, design).fit().params, 9).tolist())


def sympy(x: float) -> str:
    """sympy"""
    import sympy as sp

    symbol = sp.Symbol("x")
    integral = sp.integrate(sp.sin(symbol) ** 2 * sp.exp(symbol), symbol)
    return repr((str(integral), str(sp.solve(symbol**2 - int(x), symbol))))


def networkx(x: float) -> str:
    """networkx"""
    import networkx as nx

    graph = nx.barabasi_albert_graph(30, 2, seed=int(x))
    ranks = sorted(round(rank, 9) for rank in nx.pagerank(graph).values())
    return repr((ranks, nx.shortest_path(graph, 0, 29)))


def numba(x: float) -> str:
    """numba"""
    import numba as nb

    def harmonic(count: int) -> float:
        total = 0.0
        for i in range(1, count):
            total += 1.0 / i
        return total

    return repr(nb.njit(harmonic)(int(x) + 1000))


def pillow(x: float) -> str:
    """Pillow"""
    import hashlib
    import io

    from PIL import Image, ImageDraw, ImageFilter

    image = Image.new("RGB", (64, 64), (int(x) % 256, 20, 30))
    ImageDraw.Draw(image).ellipse((8, 8, 50, 50), fill=(200, 100, 0))
    file = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(2)).resize((33, 33)).save(file, "PNG")
    return hashlib.sha256(file.getvalue()).hexdigest()


def opencv(x: float) -> str:
    """opencv-python-headless"""
    import hashlib

    import cv2
    import numpy as np

    image = (np.arange(64 * 64 * 3) % int(x + 200)).astype(np.uint8).reshape(64, 64, 3)
    edges = cv2.Canny(cv2.GaussianBlur(image, (5, 5), 1.0), 50, 100)
    return hashlib.sha256(edges.tobytes()).hexdigest()


def shapely(x: float) -> str:
    """shapely"""
    from shapely.geometry import Point, box

    return Point(0, 0).buffer(x).intersection(box(0, 0, x, x)).wkt


def lxml(x: float) -> str:
    """lxml"""
    from lxml import etree

    root = etree.fromstring(f"<a><b n='{x}'>text</b><b n='2'/></a>")
    return repr((root.xpath("//b[@n>1]/@n"), etree.tostring(root)))


def pydantic(x: float) -> str:
    """pydantic"""
    import pydantic as pd

    model = pd.create_model("Point", x=(float, ...), tags=(list[str], []))
    try:
        model(x="far")
    except pd.ValidationError as error:
        return repr((model(x=x, tags=["a"]).model_dump_json(), error.errors()[0]["type"]))
    return ""


def spacy(x: float) -> str:
    """spacy"""
    import spacy as sp

    nlp = sp.blank("en")
    nlp.add_pipe("sentencizer")
    document = nlp(f"It isn't {x} o'clock yet. We'll wait, won't we?")
    return repr([[token.text for token in sentence] for sentence in document.sents])


def lightgbm(x: float) -> str:
    """lightgbm"""
    import lightgbm as lgb
    import numpy as np

    rows = np.arange(200.0).reshape(100, 2)
    options = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 2, "deterministic": True}
    model = lgb.train(options, lgb.Dataset(rows, rows[:, 0] * x), num_boost_round=5)
    return repr(np.round(model.predict(rows[:5]), 6).tolist())


def xgboost(x: float) -> str:
    """xgboost-cpu"""
    import numpy as np
    import xgboost as xgb

    rows = np.arange(200.0).reshape(100, 2)
    data = xgb.DMatrix(rows, rows[:, 0] * x)
    model = xgb.train({"nthread": 1, "max_depth": 3}, data, num_boost_round=5)
    return repr(np.round(model.predict(data)[:5].astype(float), 4).tolist())


def onnxruntime(x: float) -> str:
    """onnxruntime"""
    import numpy as np
    import onnxruntime as ort

    # y = a + a, float[1]: the bytes that onnx.helper makes of it
    model = bytes.fromhex(
        "08083a350a0e0a01610a016112017922034164641201675a0f0a0161120a0a08080112040a02"
        "0801620f0a0179120a0a08080112040a0208014202100d"
    )
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return repr(session.run(None, {"a": np.array([x], np.float32)})[0].tolist())


def torch(x: float) -> str:
    """torch"""
    import torch as th

    th.manual_seed(int(x))
    layer = th.nn.Linear(4, 2)
    loss = layer(th.full((3, 4), x)).pow(2).sum()
    loss.backward()
    gradient = layer.weight.grad
    return repr((round(loss.item(), 4), [] if gradient is None else gradient.tolist()))


def orjson(x: float) -> str:
    """orjson"""
    import orjson as oj

    return repr(oj.dumps({"x": x, "list": [1, None, "ü"]}, option=oj.OPT_SORT_KEYS))


def regex(x: float) -> str:
    """regex"""
    import regex as re

    return repr(re.findall(r"\p{Lu}(?:\p{Ll}|\d)+", f"Ärger Über{int(x)} alles, Straße"))


USES: dict[str, Callable[[float], str]] = {
    use.__name__: use
    for use in (
        *(numpy, scipy, pandas, polars, pyarrow, duckdb, sklearn, statsmodels, sympy, networkx),
        *(numba, pillow, opencv, shapely, lxml, pydantic, spacy, lightgbm, xgboost, onnxruntime),
        *(torch, orjson, regex),
    )
}
