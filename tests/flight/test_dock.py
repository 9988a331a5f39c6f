"""A dock on Debian's mosquitto: what it says is seen, what is garbage is counted, and nothing is answered."""

import json
import math
import shutil
import socket
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flight.dock import DockListener
from flight.errors import LinkError
from tests.flight.test_link import free_port

DOCK, DRONE = "7CTDM0000001", "1581F6Q8D0000001"
BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if BROKER is None:
        pytest.skip("no mosquitto on this machine: apt-get install mosquitto")
    port = free_port()
    config = tmp_path_factory.mktemp("broker") / "m.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([BROKER, "-c", str(config)], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait()


class SimulatedDock:
    """Says what a Dock 2 with a Matrice 3D says during a flight task."""

    def __init__(self, port):
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def say(self, topic, data, method="", raw=None):
        body = {"tid": "t", "bid": "b", "timestamp": int(time.time() * 1000), "gateway": DOCK, "data": data}
        if method:
            body |= {"method": method, "need_reply": 1}
        self.client.publish(topic, raw if raw is not None else json.dumps(body), qos=1).wait_for_publish(5)

    def osd(self, step):
        self.say(
            f"thing/product/{DRONE}/osd",
            {
                "mode_code": 5, "longitude": 118.35 + step * 1e-5, "latitude": 35.05, "height": 160.0,
                "elevation": 100.0,
                "horizontal_speed": 12.5, "vertical_speed": 0.0, "attitude_head": -90.0,
                "battery": {"capacity_percent": 80 - step, "remain_flight_time": 1200},
            },
        )  # fmt: skip

    def progress(self, percent, status, **ext):
        self.say(
            f"thing/product/{DOCK}/events",
            {"result": 0, "output": {"status": status, "progress": {"percent": percent, "current_step": 19},
                                     "ext": {"flight_id": "F1", **ext}}},
            "flighttask_progress",
        )  # fmt: skip


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def test_a_flight_task_is_followed_to_its_break_point(broker):
    changes = []
    with DockListener(f"mqtt://127.0.0.1:{broker}", changes.append) as listener:
        dock = SimulatedDock(broker)
        dock.say(f"sys/product/{DOCK}/status", {"sub_devices": [{"sn": DRONE, "type": 91}]}, "update_topo")
        for step in range(5):
            dock.osd(step)
        dock.say(f"thing/product/{DRONE}/state", {"firmware_version": "10.01", "home_distance": 12.0})
        dock.progress(40, "in_progress", current_waypoint_index=7, media_count=33)
        dock.progress(
            45, "failed", current_waypoint_index=8,
            break_point={"index": 8, "state": 1, "progress": 0.4, "wayline_id": 0, "break_reason": 773,
                         "latitude": 35.051, "longitude": 118.352},
        )  # fmt: skip
        until(lambda: (t := listener.devices.get(DOCK)) and t.task and t.task.break_point)
        until(lambda: DRONE in listener.devices and "firmware_version" in listener.devices[DRONE].properties)
        devices = listener.devices
        seen = devices[DRONE].sighting()
        dock.client.loop_stop()
    assert devices[DOCK].online == (DRONE,)
    assert (seen.lon, seen.lat) == pytest.approx((118.35004, 35.05))
    assert (seen.height_rel_m, seen.battery) == (100.0, 0.76)
    assert (seen.mode, seen.heading_deg) == ("航线飞行", 270.0)
    assert seen.age_s < 10
    task = devices[DOCK].task
    assert (task.flight_id, task.status, task.progress, task.waypoint) == ("F1", "failed", 0.45, 8)
    assert (task.break_point.index, task.break_point.progress, task.break_point.reason_text) == (8, 0.4, "低电量返航")
    assert len(changes) >= 8


def test_garbage_is_counted_and_nothing_is_ever_published(broker):
    said = []
    ear = mqtt.Client(CallbackAPIVersion.VERSION2)
    ear.on_message = lambda c, d, m: said.append(m.topic)
    ear.connect("127.0.0.1", broker)
    ear.subscribe("#")
    ear.loop_start()
    with DockListener(f"mqtt://127.0.0.1:{broker}") as listener:
        dock = SimulatedDock(broker)
        for raw in (b"\xff\xfe", b"[]", b'{"data": 5}', b"{", b'"x"', b'{"timestamp": 1}'):
            dock.say(f"thing/product/{DRONE}/osd", None, raw=raw)
        dock.say(f"thing/product/{DRONE}/events", {"output": "odd"}, "flighttask_progress")
        dock.say(f"thing/product/{DRONE}/osd", {"battery": "full", "longitude": None, "mode_code": "5"})
        until(lambda: listener.bad_messages == 6 and "battery" in (listener.devices.get(DRONE) or dock).properties)
        seen = listener.devices[DRONE].sighting()
        dock.client.loop_stop()
    ear.loop_stop()
    assert math.isnan(seen.battery)
    assert math.isnan(seen.lon)
    assert listener.devices[DRONE].task is None
    assert {topic.rsplit("/", 1)[1] for topic in said} <= {"osd", "events"}


def test_no_broker_and_no_url_are_told():
    with pytest.raises(LinkError, match="no broker at"), DockListener(f"mqtt://127.0.0.1:{free_port()}"):
        pass
    with pytest.raises(LinkError, match="expected mqtt://") as caught:
        DockListener("http://user:secret@host")
    assert "secret" not in str(caught.value)
