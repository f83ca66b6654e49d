"""Quick check that a host on the web answers, before a library waits for minutes."""

import ssl
import threading
import urllib.error
import urllib.request

LOOK_S = 3.0


def is_reachable(url: str, seconds: float = LOOK_S) -> bool:
    """Tell whether the host of an http(s) address answers in time; a refusal is an answer.

    Proxies of the environment are used. A host that takes the connection and stays silent does not answer.
    """
    found: list[bool] = []
    # In a thread, since looking up a name may take longer than any time limit of a socket.
    thread = threading.Thread(target=lambda: found.append(_responds(url, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return found == [True]


def _responds(url: str, seconds: float) -> bool:
    if not url.startswith(("http://", "https://")):
        return False
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "jungle"})
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as e:
        return isinstance(e.reason, ssl.SSLCertVerificationError)  # there, by certificates of its own
    except (OSError, ValueError):
        return False
    except Exception:  # an answer that is no HTTP
        return False
