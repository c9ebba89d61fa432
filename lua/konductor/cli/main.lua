--- Entry of the command line: finds the command and runs it. Under another name the program is another one.
---
--- Each command is a module konductor.cli.NAME with `run(args, given)`, which returns the exit
--- code; only the modules that a command needs are loaded, so that `konductor version` and a
--- start with everything done cost next to nothing.

local core = require "konductor.core"

local M = {}

--- Every command, in the order of the help.
M.commands = { "run", "plan", "sim", "crds", "rbac", "probe", "install", "version", "help", "completion" }

local ALIASES = { ["--version"] = "version", ["-V"] = "version", ["--help"] = "help", ["-h"] = "help" }

--- What it is under other names: koncli, also as `kubectl konductor`; just-one-init; and what copies that one out of an
--- image that has nothing else in it.
local OTHERS = {
  koncli = "koncli.main", ["kubectl-konductor"] = "koncli.main",
  ["just-one-init"] = "konductor.just_one_init.main", cp = "konductor.just_one_init.cp",
}

--- What people try here and mean of it, with an example.
local KONCLI_WORDS = { koncli = "help", once = "once list", lease = "lease list", status = "status", get = "status" }

local EXIT_USAGE = core.exit_code("usage")

--- One sentence on standard error.
---@param sentence string
---@return integer exit_code
function M.complain(sentence)
  core.write(2, ("konductor: %s\nTry: konductor help\n"):format(sentence))
  return EXIT_USAGE
end

--- Says so and what was probably meant.
---@param name string
---@param more? string[]  what else could have been meant
---@return integer exit_code
function M.unknown_command(name, more)
  local known = {}
  for _, list in ipairs { M.commands, more or {} } do
    for _, word in ipairs(list) do
      known[#known + 1] = word
    end
  end
  local nearest = require("konductor.text").nearest(name, known)
  if nearest then
    return M.complain(('there is no command "%s"; did you mean "%s"?'):format(name, nearest))
  elseif KONCLI_WORDS[name] then
    local sentence = 'there is no command "%s"; koncli is this program under another name, a link to it: koncli %s'
    return M.complain(sentence:format(name, KONCLI_WORDS[name]))
  elseif name:find("%.lua$") or name:find("^@") then
    return M.complain(('there is no command "%s"; to run a script: konductor run %s'):format(name, name))
  end
  return M.complain(('there is no command "%s"; commands are %s'):format(name, table.concat(known, ", ")))
end

local function is_command(name)
  for _, command in ipairs(M.commands) do
    if command == name then
      return true
    end
  end
  return false
end

--- Splits at the first "--": what stands behind it is the user's own command line.
local function split(argv, from)
  local own, command = {}, nil
  for i = from, #argv do
    if command then
      command[#command + 1] = argv[i]
    elseif argv[i] == "--" then
      command = {}
    else
      own[#own + 1] = argv[i]
    end
  end
  return own, command
end

---@param argv string[]  argv[0] is the name of the program
---@return integer exit_code
function M.main(argv)
  local other = argv[0] and OTHERS[argv[0]:match "[^/]*$"]
  if other then
    return require(other).main(argv)
  end
  local name = argv[1]
  if not name then
    core.write(2, require("konductor.cli.help").overview())
    return EXIT_USAGE
  end
  name = ALIASES[name] or name
  if not is_command(name) then
    return M.unknown_command(name)
  end
  local own, command = split(argv, 2)
  return require("konductor.cli." .. name).run(own, command)
end

return M
