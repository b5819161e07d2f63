"""tensorboard_reads.py -- the event files of a run folder, read by the real tensorboard package, beside its results.csv; and the
records that tests/unit/run_report.c stores, made by that package

  python tensorboard_reads.py RUN-FOLDER

Needs tensorboard (2.21.0 was used).
"""
import csv
import io
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

run = pathlib.Path(sys.argv[1])
rows = list(csv.DictReader(open(run / "results.csv")))
for name, start in (("train", ""), ("validation", "val_")):
    events = EventAccumulator(str(run / "tensorboard" / name))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert tags, f"{name} has no scalars"
    for tag in tags:
        column = start + tag.removeprefix("epoch_")
        points = [(p.step + 1, p.value) for p in events.Scalars(tag)]
        wanted = [(int(r["epoch"]), float(r[column])) for r in rows]
        assert [p[0] for p in points] == [w[0] for w in wanted], (tag, points)
        assert all(abs(p[1] - w[1]) <= 1e-6 * abs(w[1]) for p, w in zip(points, wanted)), (tag, points, wanted)
    print(name, *tags, f"({len(rows)} epochs)")

value = summary_pb2.Summary.Value(tag="loss", simple_value=0.25)
for event in (event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
              event_pb2.Event(wall_time=1.5, step=300, summary=summary_pb2.Summary(value=[value]))):
    file = io.BytesIO()
    RecordWriter(file).write(event.SerializeToString())
    print(file.getvalue().hex())
