"""Chromium without a screen, spoken to in its own protocol (Chrome DevTools) over two pipes: no driver, no port.

A page remembers what went wrong in it and what it asked for, so that a test can say that nothing did and from where.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

from eventually import eventually

# Anything that takes longer has failed.
PATIENCE = 30

# What a key does, as the protocol wants to be told.
KEYS = {
    "Tab": {"windowsVirtualKeyCode": 9},
    "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"},
    "Escape": {"windowsVirtualKeyCode": 27},
    " ": {"windowsVirtualKeyCode": 32, "text": " "},
    "ArrowDown": {"windowsVirtualKeyCode": 40},
}


def find():
    """Path of the browser; `None` if there is none."""
    if os.environ.get("CHROMIUM_BIN"):
        return os.environ["CHROMIUM_BIN"]
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One browser process with its profile in a folder of its own. Ends when closed, or with this process: its pipe breaks."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="switchboard-browser-", ignore_cleanup_errors=True)
        theirs_in, self.ours_out = os.pipe()
        self.ours_in, theirs_out = os.pipe()
        flags = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={self.folder.name}", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run",
                 "--hide-scrollbars"]
        # Its sandbox wants another user than root; it visits our own pages only.
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        # The protocol's pipes are the descriptors 3 and 4.
        pipes = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+b")
        self.child = subprocess.Popen(["bash", "-c", pipes, "browser", binary, *flags, "about:blank"], stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log, pass_fds=(theirs_in, theirs_out))
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.number, self.answers, self.pages = b"", 0, {}, {}
        self.version = self.call("Browser.getVersion")["product"]

    def call(self, method, session=None, **params):
        """Calls a method of the protocol and gives its answer."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.ours_out, text):]
        deadline = time.monotonic() + PATIENCE
        while number not in self.answers:
            if not self.read(max(0, deadline - time.monotonic())):
                raise TimeoutError(f"the browser did not answer {method} within {PATIENCE} s")
        answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def read(self, limit):
        """Takes in what the browser says; False if that is nothing within `limit` seconds."""
        if not select.select([self.ours_in], [], [], limit)[0]:
            return False
        chunk = os.read(self.ours_in, 1 << 16)
        if not chunk:
            self.log.seek(0)
            raise RuntimeError(f"the browser has ended: {self.log.read()[-2000:].decode(errors='replace')}")
        *messages, self.buffer = (self.buffer + chunk).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].happened(message["method"], message["params"])
        return True

    def page(self, **options):
        """A new tab, with a cookie jar of its own."""
        return Page(self, **options)

    def close(self):
        self.child.kill()
        self.child.wait()
        os.close(self.ours_in)
        os.close(self.ours_out)
        self.log.close()
        self.folder.cleanup()


class Page:
    """One tab. `errors` is what its console complained of, `requests` every address that it asked for."""

    def __init__(self, browser, script=True, dark=False, width=1280, height=900):
        self.browser, self.errors, self.requests, self.loads = browser, [], [], 0
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.resize(width, height)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def happened(self, method, params):
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(params["args"])

    def goto(self, url):
        before = self.loads
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self.loaded(before)

    def loaded(self, before):
        """Waits for a load after the `before` that were seen."""
        eventually(PATIENCE, lambda: self.run("document.readyState") == "complete" and self.loads > before)

    def run(self, script):
        """The value of an expression in the page. Works with the page's own script switched off."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def eventually(self, script, limit=PATIENCE):
        return eventually(limit, lambda: self.run(script))

    def press(self, key, shift=False):
        about = {"key": key, "code": "Space" if key == " " else key, "modifiers": 8 if shift else 0, **KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{name: value for name, value in about.items() if name != "text"})

    def type(self, text):
        self.call("Input.insertText", text=text)

    def tab_to(self, selector, limit=200):
        """Goes on by the Tab key until what has the focus matches, and says how it is called."""
        for _ in range(limit):
            self.press("Tab")
            if self.run(f"document.activeElement.matches({json.dumps(selector)})"):
                return self.run("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        raise AssertionError(f"{limit} times Tab, and never at {selector}")

    def names(self):
        """Role and name of everything that a screen reader would be told of."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        value = lambda node, what: node.get(what, {}).get("value", "")
        return [(value(node, "role"), value(node, "name")) for node in nodes if not node.get("ignored")]

    def origins(self):
        """Where everything came from."""
        return {urlsplit(url)[:2] for url in self.requests if not url.startswith(("about:", "data:"))}

    def screenshot(self, path, whole=True):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))
