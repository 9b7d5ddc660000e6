# Asks Python's json about the texts of a file of harness_scan (spec/c/harness_scan.c): a line for
# each, "ok" or "no".
import json
import sys

with open(sys.argv[1], "rb") as file:
    data = file.read()
at = 0
while at < len(data):
    end = data.index(b"\n", at)
    n = int(data[at:end])
    at = end + 1 + n
    try:
        json.loads(data[end + 1:at].decode("utf-8"))
        print("ok")
    except (ValueError, RecursionError):
        print("no")
