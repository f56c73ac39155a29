"""The workflow benchmark's load, on DBOS: peer.py URL --callers N --connections N --millis N --idle N

Prints one JSON object with what it came to; `cargo xtask bench workflow` starts it in an environment of its own and puts the figures
beside ours. The database is empty. A SQLite file is put into WAL mode first, which is faster than DBOS's own choice and as durable:
Python's SQLite runs with synchronous=FULL.
"""

import argparse
import json
import sqlite3
import statistics
import threading
import time

import sqlalchemy as sa
from dbos import DBOS, SQLAlchemyDatasource

STEPS = 5

arguments = argparse.ArgumentParser()
arguments.add_argument("url")
arguments.add_argument("--callers", type=int, required=True)
arguments.add_argument("--connections", type=int, required=True)
arguments.add_argument("--millis", type=int, required=True)
arguments.add_argument("--idle", type=int, required=True)
arguments = arguments.parse_args()

is_sqlite = arguments.url.startswith("sqlite")
if is_sqlite:
    URL = arguments.url.replace("sqlite://", "sqlite:///", 1)
    with sqlite3.connect(arguments.url.removeprefix("sqlite://")) as file:
        file.execute("PRAGMA journal_mode = WAL")
else:
    URL = arguments.url.replace("postgres://", "postgresql+psycopg://", 1)

DBOS(
    config={
        "name": "peer",
        "system_database_url": URL,
        "sys_db_pool_size": arguments.connections,
        "max_executor_threads": arguments.callers,
        "log_level": "ERROR",
        "enable_otlp": False,
    }
)
source = SQLAlchemyDatasource.create(URL, engine_kwargs={"pool_size": arguments.connections, "max_overflow": 0})


@DBOS.step()
def nothing() -> None:
    return None


@DBOS.workflow()
def noop(_caller: int) -> None:
    for _ in range(STEPS):
        nothing()


UPSERT = sa.text(
    "INSERT INTO bench_accounts (id, balance) VALUES (:id, 1) "
    "ON CONFLICT (id) DO UPDATE SET balance = bench_accounts.balance + 1"
)


@source.transaction(isolation_level="SERIALIZABLE" if is_sqlite else "READ COMMITTED")
def add_one(caller: int) -> None:
    source.sql_session().execute(UPSERT, {"id": caller})


@DBOS.workflow()
def booked(caller: int) -> None:
    for _ in range(STEPS):
        add_one(caller)


def idle() -> float:
    """How long one run takes when nothing else goes on: the median, in milliseconds."""
    times = []
    for _ in range(arguments.idle):
        began = time.perf_counter()
        noop(0)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def rate(operation) -> float:
    """Operations a second of so many callers, after a quarter of the time to get going."""
    stop = threading.Event()
    ended = [0] * arguments.callers
    problems = []

    def call(caller: int) -> None:
        try:
            while not stop.is_set():
                operation(caller)
                ended[caller] += 1
        except Exception as problem:
            problems.append(problem)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(arguments.callers)]
    for caller in callers:
        caller.start()
    time.sleep(arguments.millis / 4e3)
    before, began = sum(ended), time.perf_counter()
    time.sleep(arguments.millis / 1e3)
    after, took = sum(ended), time.perf_counter() - began
    stop.set()
    for caller in callers:
        caller.join()
    if problems:
        raise problems[0]
    return (after - before) / took


DBOS.launch()
with source.engine.begin() as connection:
    connection.execute(sa.text("CREATE TABLE bench_accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)"))
figures = {"idle_ms": idle()}
figures["noop_steps"] = rate(noop) * STEPS
figures["tx_steps"] = rate(booked) * STEPS
# Into a queue that nobody listens to: the start alone.
figures["starts"] = rate(lambda caller: DBOS.enqueue_workflow("nobody", noop, caller))
print(json.dumps(figures))
DBOS.destroy()
