"""A connection per request, one after the other, until a file is there: says how many failed."""

import http.client
import os
import sys

host, port, enough = sys.argv[1], int(sys.argv[2]), sys.argv[3]
answered, failed = 0, []
while not os.path.exists(enough):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            answered += 1
        else:
            failed.append(answer.status)
    except OSError as error:
        failed.append(error)
    connection.close()
print(f"{answered} answered, {len(failed)} failed", *failed[:5])
