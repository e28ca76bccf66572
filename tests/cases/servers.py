"""Programs that nobody here wrote: where they are, and how a server is set up for a case."""
import os
import shutil
import socket

import harness


def find(lab, name):
    path = shutil.which(name, path=lab.environment()["PATH"])
    if not path:
        raise harness.Skipped(f"{name} is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def nginx_configuration(lab, port):
    folder = lab.new_folder("nginx")
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as out:
        user = "" if lab.as_nobody or os.geteuid() else "user root;\n"
        out.write(f"{user}daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
                  "events { worker_connections 256; }\n"
                  f"http {{ access_log off; keepalive_timeout 0; root {folder};\n"
                  f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
                  f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
                  f"server {{ listen 127.0.0.1:{port}; }} }}\n")
    with open(os.path.join(folder, "index.html"), "w") as out:
        out.write("hello\n")
    return folder, path
