"""spotipy as it is used where calls are many: four threads, a client each, its own retries, no limiter.

A process of ``limiter_known``: base URL, token, when to begin (monotonic seconds) and for how long.
"""

import logging
import sys
import threading
import time

import spotipy

_THREADS = 4


def main() -> None:
    """Call until the time is over."""
    url, token, begin, seconds = sys.argv[1:]
    logging.getLogger("spotipy").setLevel(logging.CRITICAL)
    time.sleep(max(0.0, float(begin) - time.monotonic()))
    # Who waits for hours, as it was told to, is not waited for.
    threads = [
        threading.Thread(target=_call, args=(url, token, float(begin) + float(seconds)), daemon=True)
        for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, float(begin) + float(seconds) + 2 - time.monotonic()))


def _call(url: str, token: str, end: float) -> None:
    client = spotipy.Spotify(auth=token)
    client.prefix = f"{url}/"
    while time.monotonic() < end:
        try:
            client.current_user()
        except spotipy.SpotifyException:
            # Its own retries are used up; whoever wants the answer asks again.
            continue


if __name__ == "__main__":
    main()
