"""What bash, zsh and fish offer behind a word of konductor and koncli: each shell is asked itself."""

import os
import pty
import subprocess
import unittest

from lib import PATIENCE, ClusterTest, binary, wait_for

# bash splits words at "@", as its line editor does by default; the answer is what the editor would put in place of the last one.
BASH = r"""
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:@'
COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
function=$(complete -p "$2"); function=${function#*-F }; ${function%% *}
printf '%s\n' "${COMPREPLY[@]}"
"""

# zsh completes only in its line editor. What it would add to its matches goes to a file, with a last word when that is all.
ZSH = r"""
PROMPT=
fpath=("$PWD/zsh" $fpath)
autoload -Uz compinit && compinit -D -u
compadd() {
  [[ " $* " == *" -"[OAD]" "* ]] && { builtin compadd "$@"; return }
  local -a hits
  builtin compadd -A hits "$@"
  (( $#hits )) && print -l -- $hits >> offered
  return $(( ! $#hits ))
}
all_offered() { print all-offered >> offered }
comppostfuncs=(all_offered)
zle -C ask complete-word _main_complete
bindkey '^I' ask
zle-line-init() { : >> ready }
zle -N zle-line-init
"""


class Completion(ClusterTest):
    def setUp(self):
        super().setUp()
        self.here = self.cluster.directory
        for part in ("bin", "bash", "zsh", "fish"):
            (self.here / part).mkdir()
        for name in ("konductor", "koncli"):
            (self.here / "bin" / name).symlink_to(binary())
            for shell in ("bash", "zsh", "fish"):
                (self.here / shell / f"_{name}").write_text(self.ask(name, "completion", shell))
        for name in ("shop.seed", "shop.migrate"):
            self.ask("koncli", "once", "create", name, "-q")
        self.cluster.file("init.lua", "")

    def environment(self):
        path = f"{self.here / 'bin'}:{os.environ['PATH']}"
        return self.cluster.env({"PATH": path, "HOME": str(self.here), "TERM": "dumb"})

    def ask(self, *argv):
        done = subprocess.run(argv, capture_output=True, text=True, env=self.environment(), cwd=self.here, timeout=60 * PATIENCE,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), argv)
        return done.stdout

    def bash(self, line):
        words = line.replace("@", " @ ").split() + ([""] if line.endswith((" ", "@")) else [])
        sources = "".join(f"source bash/_{name}\n" for name in ("konductor", "koncli"))
        return self.ask("bash", "-c", sources + BASH, "bash", line, *words).split()

    def fish(self, line):
        sources = "".join(f"source fish/_{name}; " for name in ("konductor", "koncli"))
        answers = self.ask("fish", "--no-config", "-c", f"{sources} complete -C '{line}'").splitlines()
        return [answer.split("\t")[0] for answer in answers]

    def zsh(self, line):
        offered, ready = self.here / "offered", self.here / "ready"
        offered.unlink(missing_ok=True)
        ready.unlink(missing_ok=True)
        (self.here / "setup.zsh").write_text(ZSH)
        master, slave = pty.openpty()
        shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=self.environment(),
                                 cwd=self.here, start_new_session=True)
        try:
            os.write(master, b"source setup.zsh\n")
            wait_for(ready.exists, what="the line editor of zsh")
            os.write(master, line.encode() + b"\t")
            wait_for(lambda: offered.exists() and "all-offered\n" in offered.read_text(),
                     what=f"what zsh offers behind {line!r}")
        finally:
            shell.kill()
            shell.wait()
            os.close(slave)
            os.close(master)
        return offered.read_text().split()[:-1]

    def test_each_shell_offers_what_may_stand_there(self):
        for line, offered in (("konductor r", {"run", "rbac"}),
                              ("konductor completion ", {"bash", "zsh", "fish"}),
                              ("konductor help ", {"plan", "scripts", "@leader"}),
                              ("konductor run ", {"@leader", "init.lua"}),
                              ("konductor run --log-level ", {"error", "warn", "info", "debug"}),
                              ("konductor plan -o ", {"text", "dot", "mermaid", "svg"}),
                              ("koncli completion ", {"bash", "zsh", "fish"}),
                              ("koncli help ", {"lease", "once", "status"}),
                              ("koncli help lease a", {"acquire"}),
                              ("koncli once re", {"reset", "resolve"}),
                              ("koncli once status ", {"shop.migrate", "shop.seed"}),
                              ("koncli once reset shop.s", {"shop.seed"})):
            for shell in (self.bash, self.zsh, self.fish):
                with self.subTest(line=line, shell=shell.__name__):
                    self.assertLessEqual(offered, set(shell(line)))

    def test_where_a_value_is_due_no_script_and_no_file_is_offered(self):
        for line, offered in (("konductor run --log-level ", {"error", "warn", "info", "debug"}),
                              ("konductor completion ", {"bash", "zsh", "fish"}),
                              ("koncli once status ", {"shop.migrate", "shop.seed"})):
            for shell in (self.bash, self.zsh, self.fish):
                with self.subTest(line=line, shell=shell.__name__):
                    self.assertEqual(set(shell(line)), offered)

    def test_bash_leaves_the_command_behind_two_dashes_to_itself(self):
        self.assertEqual(self.bash("konductor run init.lua -- "), [])

    def test_bash_takes_an_at_sign_for_the_end_of_a_word(self):
        self.assertEqual(set(self.bash("konductor run @le")), {"leader", "leader-label"})
        self.assertEqual(set(self.bash("konductor help @le")), {"leader", "leader-label"})


if __name__ == "__main__":
    unittest.main()
