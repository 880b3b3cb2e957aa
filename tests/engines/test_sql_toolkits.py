"""SQLAlchemy and Django: each connection that they open gets the functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from row_functions import picky, score

import udfvm
import udfvm.sqlite
from udfvm.sqlite._loading import is_plain

ROWS = [(1, 12.0, 300.0), (2, -6.0, 600.0), (3, 3.0, 0.0)]
TEXT = "UDF 'picky'(, row 0)?: ValueError: 7 is too much"


def test_sqlalchemy(tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pool = sqlalchemy.pool.NullPool
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/f.db", poolclass=pool)
    sqlalchemy.event.listen(
        engine, "connect", lambda con, _: udfvm.sqlite.register(con, score, picky)
    )
    columns = [sqlalchemy.Column(name, sqlalchemy.Float) for name in ("delay", "distance")]
    number = sqlalchemy.Column("number", sqlalchemy.Integer, primary_key=True)
    flights = sqlalchemy.Table("flights", sqlalchemy.MetaData(), number, *columns)
    flights.create(engine)
    with engine.begin() as connection:  # another connection
        connection.execute(flights.insert().values(ROWS))
        value = sqlalchemy.func.score(flights.c.delay, flights.c.distance)
        query = sqlalchemy.select(value).order_by(flights.c.number)
        assert connection.scalars(query).all() == [4.0, -1.0, None]
        driver: Any = connection.connection.driver_connection
        with pytest.raises(sqlalchemy.exc.OperationalError, match=TEXT) as raised:
            with udfvm.sqlite.real_errors(driver):
                connection.execute(sqlalchemy.select(sqlalchemy.func.picky(7)))
        if is_plain(driver):
            assert isinstance(raised.value.orig.__cause__, udfvm.UDFError)
        assert connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(flights))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    django = pytest.importorskip("django")
    from django.conf import settings

    path = tmp_path_factory.mktemp("django") / "f.db"
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}
    if not settings.configured:  # the example of docs/engines.md may have done so
        settings.configure(DATABASES={"default": database})
        django.setup()
    from django.db import connections
    from django.db.backends.signals import connection_created

    def add(connection: Any, **_: object) -> None:
        udfvm.sqlite.register(connection.connection, score, picky)

    settings_of = connections.configure_settings({"default": {}, "flights": database})
    connections.settings["flights"] = settings_of["flights"]
    connection = connections["flights"]
    connection_created.connect(add)
    yield connection
    connection_created.disconnect(add)
    connection.close()


def test_django(connection: Any) -> None:
    from django.db import models, utils

    class Flight(models.Model):
        delay = models.FloatField()
        distance = models.FloatField()

        class Meta:
            app_label = "flights"

    value = models.Func(
        "delay", "distance", function="score", output_field=models.FloatField(null=True)
    )
    with connection.schema_editor() as editor:
        editor.create_model(Flight)
    connection.close()  # the next query opens another
    objects: Any = Flight._default_manager.using("flights")
    objects.bulk_create([Flight(pk, *row) for pk, *row in ROWS])
    scores = objects.annotate(score=value).order_by("pk").values_list("score", flat=True)
    assert list(scores) == [4.0, -1.0, None]
    assert [each.pk for each in objects.annotate(score=value).filter(score__gt=0)] == [1]
    picks = objects.annotate(pick=models.Func(models.Value(7), function="picky"))
    with pytest.raises(utils.OperationalError, match=TEXT) as raised:
        with udfvm.sqlite.real_errors(connection.connection):
            picks.values_list("pick").first()
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    assert objects.count() == len(ROWS)
