"""Where the measured programs run: a folder with copies of them, of the caller's own or of an ordinary user, who may not
look into the build folder. Knows nothing of what is measured."""

import os
import shutil

NOBODY = 65534


class Place:
    """`user`: what subprocess.Popen is told of who runs there."""

    def __init__(self, build, scratch, name):
        self.build = build
        self.is_nobody = name == "nobody" and os.geteuid() == 0
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.is_nobody else {}
        self.folder = os.path.join(scratch, name)
        self.bin = os.path.join(self.folder, "bin")
        os.makedirs(os.path.join(self.bin, "agent"), exist_ok=True)
        for folder in (self.folder, self.bin, os.path.join(self.bin, "agent")):
            os.chmod(folder, 0o755)
            self.give(folder)

    @property
    def htrace(self):
        """It finds its agent beside itself."""
        agent = "agent/libhtrace-agent.so"
        if os.path.exists(os.path.join(self.build, agent)):
            self.program(agent, agent)
        return self.program("htrace")

    def program(self, path, name=None):
        """A copy of BUILD/path."""
        copy = os.path.join(self.bin, name or os.path.basename(path))
        if not os.path.exists(copy):
            shutil.copy(os.path.join(self.build, path), copy)
            os.chmod(copy, 0o755)
        return copy

    def fresh(self, name):
        """The path of something that is not there yet, or no more."""
        path = os.path.join(self.folder, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
        return path

    def give(self, path):
        """To the user of this place, with all that is in it."""
        if not self.is_nobody:
            return
        for folder, _, files in os.walk(path):
            os.chown(folder, NOBODY, NOBODY)
            for file in files:
                os.chown(os.path.join(folder, file), NOBODY, NOBODY)
