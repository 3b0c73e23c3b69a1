# Tells whoever connects what a program has seen in its container.
import http.server


def serve(seen):
    print(*seen, sep="\n", flush=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write("\n".join(seen).encode())

    http.server.HTTPServer(("", 8000), Handler).serve_forever()
