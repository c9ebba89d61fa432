--- `konductor help [COMMAND|scripts|@NAME]`.

local core = require "konductor.core"
local say = require "konductor.cli.say"

local M = {}

local TITLE = "konductor help"

local OVERVIEW = [[
konductor: many copies of a program start at once; some step must be done once, first, by one of
them, in order; later one must lead and the rest stand by.

  konductor run SCRIPT.lua [-- COMMAND...]   run a policy script; COMMAND is its main's program
  konductor plan SCRIPT.lua                  what it would do, and what is done already
  konductor sim SCRIPT.lua                   a thousand worlds with faults: does it hold?
  konductor crds                             the kinds of the store kube, for kubectl apply -f -
  konductor rbac SCRIPT.lua                  the least rights that a script needs on Kubernetes
  konductor probe [URL]                      exit code 0 or 1 for exec probes
  konductor install DIR                      copies itself, for an initContainer
  konductor completion bash|zsh|fish         completions for a shell
  konductor version [-o json]                this program and the libraries in it
  konductor help COMMAND                     options and examples of one command
  konductor help scripts                     the built-in scripts, run as @NAME
  koncli help                                for shells: this program under another name

The smallest script, init.lua:

  local k = require "konductor"
  k.flow "shop" {
    k.stage "migrate" { run = { "flyway", "migrate" }, version = k.env("IMAGE_TAG", "dev") },
    k.main { "gunicorn", "shop.wsgi" },
  }

Start it as often as you like: one replica migrates, the others wait, then each runs gunicorn.

  konductor run init.lua
]]

function M.overview()
  return OVERVIEW
end

--- What a built-in script says of itself: the comment at its beginning. Nil when there is no such script.
---@param name string   without the "@"
---@return string?
local function about(name)
  local lines = {}
  for line in (core.embedded(name) or ""):gmatch "([^\n]*)\n" do
    local said = line:match "^%-%-+ ?(.*)$"
    if not said then
      break
    end
    lines[#lines + 1] = said
  end
  return lines[1] and table.concat(lines, "\n") .. "\n"
end

--- Name and first comment of each built-in script.
local function scripts()
  local lines = { "Built-in scripts, run as `konductor run @NAME`:\n" }
  local names = core.embedded_list()
  table.sort(names)
  for _, name in ipairs(names) do
    local first = core.embedded(name):match("^%-%-+%s*([^\n]*)") or ""
    lines[#lines + 1] = ("  @%-18s %s"):format(name, first)
  end
  lines[#lines + 1] = "\nkonductor help @NAME tells what one takes from its environment."
  return table.concat(lines, "\n") .. "\n"
end

-- Help for a topic that starts with "@".
local function help_script(topic)
  local said = about(topic:sub(2))
  if said then
    return say(TITLE, said)
  end
  local _, sentence = require("konductor.cli.source").read(topic)
  return require("konductor.cli.main").complain(sentence)
end

---@param given string[]
---@return integer exit_code
function M.run(given)
  local topic = given[1]
  if not topic or topic == "help" then
    return say(TITLE, OVERVIEW)
  elseif topic == "scripts" then
    return say(TITLE, scripts())
  elseif topic:sub(1, 1) == "@" then
    return help_script(topic)
  elseif topic == "version" then
    return say(TITLE, "Usage: konductor version [-o json]\n\nThis program and the libraries in it.\n")
  end
  local describe = require("konductor.cli.args").options_of(topic)
  if not describe then
    return require("konductor.cli.main").unknown_command(topic, { "scripts" })
  end
  return say(TITLE, require("konductor.cli.parser").new(topic, describe):get_help() .. "\n")
end

return M
