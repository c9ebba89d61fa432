--- The options of every command, for parsing, help and completion.
---
--- One function a command describes it to an argparse parser; parse() builds only that
--- one, and only if the command line is not plain (plain.lua); all() builds the whole tree for
--- completions.

local core = require "konductor.core"
local plain = require "konductor.cli.plain"
local text = require "konductor.text"

local M = {}

local EXIT_USAGE = core.exit_code("usage")

--- The options that say which store is meant.
function M.add_store_options(parser)
  parser:option("--store"):argname("STORE")
    :description('Where the truth lives: "kube", "kube-lease" or "sqlite:PATH". Default: $KONDUCTOR_STORE, else kube '
      .. "in a pod or with a kubeconfig, else ~/.local/state/konductor/state.db.")
  parser:option("-n --namespace"):argname("NAME")
    :description('Separates what has nothing to do with each other. Default: $KONDUCTOR_NAMESPACE, else that of the '
      .. 'kubeconfig\'s context or of the pod, else "default".')
  parser:option("--kubeconfig"):argname("FILE")
    :description("Which cluster, and who we are there. Default: $KUBECONFIG, else the pod's service account, "
      .. "else ~/.kube/config.")
  parser:option("--context"):argname("NAME"):description("Of the kubeconfig. Default: its current-context.")
end

local function add_script(parser)
  parser:argument("script"):args(1)
    :description('A file; "-" for standard input; "@NAME" for a built-in script (konductor help scripts).')
  parser:argument("stray"):args("*"):hidden(true)
end

--- To be called last: what stands behind "--" is no argument of the parser's.
local function add_command_to_usage(parser)
  parser:usage(parser:get_usage() .. " [-- COMMAND...]")
end

M.describe = {}

function M.describe.run(parser)
  parser:description("Runs a policy script as entrypoint and supervises the program behind it.")
  add_script(parser)
  M.add_store_options(parser)
  parser:option("--listen"):argname("ADDRESS:PORT")
    :description('Probe endpoint, or "off". Default: [::]:5047.')
  parser:option("--grace"):argname("DURATION")
    :description("How long the program may take to end when asked to stop, before it is killed. Default: 25s.")
  parser:option("--holder"):argname("NAME")
    :description("This replica's name for people. Default: $KONDUCTOR_HOLDER_ID, else the host name.")
  parser:option("--events"):argname("FILE")
    :description("Appends what happens as JSON lines to FILE (docs/reference/events.md).")
  parser:option("--log-format"):choices { "text", "json" }
    :description("How a line of the log looks. Default: text.")
  parser:option("--log-level"):choices { "error", "warn", "info", "debug" }
    :description("What is logged. Default: info.")
  parser:flag("-v --verbose"):description("As --log-level debug.")
  parser:flag("-q --quiet"):description("As --log-level error.")
  parser:epilog [[
What stands behind "--" is the command that the script's main runs when it names none.

Examples:
  konductor run init.lua                      a script as entrypoint
  konductor run init.lua -- gunicorn shop     the script names the stages, this line the program
  konductor run @leader -- worker --queue a   a built-in script: one works, the others stand by
  generate | konductor run -                  a script from standard input

The program finds KONDUCTOR_HOLDER in its environment; while it holds something KONDUCTOR_TOKEN
(the fencing number) and KONDUCTOR_LEASE or KONDUCTOR_ONCE; in a stage KONDUCTOR_STAGE.

TERM and INT stop in order: the work is asked to end, killed after the grace, and only then is
anything released. A second one kills at once.

Exit code: that of the program, 128+n after signal n. konductor's own:
    1  a stage or once failed for good       75  not available in time, or the hold was lost
   64  the command line is wrong             76  another took over while the work ran
   65  the script has a mistake              77  at-most-once work is in doubt: a person must look
   70  a policy hangs, or the system failed  78  configuration or rights
   74  the store cannot be used              79  the store went back to an older state
  124  a time limit was over               126, 127  cannot be executed, does not exist]]
  add_command_to_usage(parser)
end

function M.describe.plan(parser)
  parser:description("Shows what a script would do, and what of it is done already. Runs nothing of it.")
  add_script(parser)
  M.add_store_options(parser)
  parser:option("-o --output"):choices { "text", "dot", "mermaid", "svg" }:default "text"
    :description("The form of the answer.")
  parser:flag("--offline"):description("Does not look into the store.")
  parser:epilog [[
Examples:
  konductor plan init.lua
  konductor plan init.lua -o svg > stages.svg
  konductor plan init.lua -o dot | dot -Tpng > stages.png]]
  add_command_to_usage(parser)
end

function M.describe.crds(parser)
  parser:description("Prints the CustomResourceDefinitions of konductor.io/v1, needed by the store kube.")
  parser:option("-o --output"):choices { "yaml", "json" }:default "yaml"
    :description("The form of the answer.")
  parser:epilog [[
Example:
  konductor crds | kubectl apply -f -]]
end

function M.describe.rbac(parser)
  parser:description("Prints a Role with the least rights that a script needs on Kubernetes. Runs nothing of it.")
  add_script(parser)
  parser:option("--store"):argname("STORE"):choices { "kube", "kube-lease" }
    :description('"kube": custom resources; "kube-lease": coordination Leases. Default: $KONDUCTOR_STORE, else kube.')
  parser:option("-n --namespace"):argname("NAME")
    :description("Of the Role. Default: the one that run would use here.")
  parser:option("--name"):argname("NAME"):default "konductor":description("Of the Role and its RoleBinding.")
  parser:option("--service-account"):argname("NAME"):description("Prints a RoleBinding to it as well.")
  parser:option("--also"):argname("KIND/NAME"):count "*"
    :description("An object that the script names only when it runs. May be given again.")
  parser:flag("--no-create"):description("Without the right to create: the objects are made beforehand.")
  parser:flag("--events"):description("With the right to write Kubernetes Events.")
  parser:option("-o --output"):choices { "yaml", "json" }:default "yaml":description("The form of the answer.")
  parser:epilog [[
Names that a script takes from the environment are those of the environment of this command.

Examples:
  konductor rbac init.lua -n shop --service-account shop | kubectl apply -f -
  konductor rbac @leader --store kube-lease
  konductor rbac init.lua --also lease/db --no-create]]
  add_command_to_usage(parser)
end

function M.describe.probe(parser)
  parser:description("Asks a probe endpoint: exit code 0 when it answers 200, else 1. For images without curl.")
  parser:argument("url"):args "?"
    :description("Default: http://127.0.0.1:5047/readyz. A path alone (/livez, livez) is added to that address.")
  parser:option("-t --timeout"):argname("DURATION"):default "3s":description("How long to wait for the answer.")
  parser:flag("-q --quiet"):description("Prints nothing.")
  parser:epilog [[
Examples:
  konductor probe                    ready?
  konductor probe /leaderz           leading?
  konductor probe http://10.0.0.7:5047/livez]]
end

function M.describe.install(parser)
  parser:description("Copies this program to DIR/konductor and DIR/koncli. For an initContainer whose image has no cp.")
  parser:argument("dir"):args(1):description("A directory that exists, for example a shared volume.")
  parser:epilog [[
Example:
  konductor install /shared]]
end

function M.describe.completion(parser)
  parser:description("Prints the completion script for a shell.")
  parser:argument("shell"):args(1):choices { "bash", "zsh", "fish" }
  parser:epilog [[
Examples:
  konductor completion bash > /etc/bash_completion.d/konductor
  konductor completion fish > ~/.config/fish/completions/konductor.fish]]
end

local function new_parser(name)
  local parser = require "argparse"("konductor " .. name)
  parser:help_max_width(100):usage_max_width(100)
  M.describe[name](parser)
  return parser
end

---@param name string
---@return string
function M.help(name)
  return new_parser(name):get_help() .. "\n"
end

--- The complaint of the parser; about a choice also with what was given, and what was probably meant.
local function complaint(sentence, args)
  local name, words = sentence:match "'([^']+)' must be one of (.+)$"
  if not name then
    return sentence
  end
  local choices, given = {}, not name:find "^%-" and args[1] or nil
  for word in words:gmatch "'([^']+)'" do
    choices[#choices + 1] = word
  end
  for i, arg in ipairs(args) do
    if arg == name then
      given = args[i + 1]
    elseif arg:sub(1, #name + 1) == name .. "=" then
      given = arg:sub(#name + 2)
    end
  end
  local nearest = given and text.nearest(given, choices)
  return ("%s%s%s"):format(sentence, given and ", not " .. text.quote(given) or "",
    nearest and ("; did you mean %s?"):format(text.quote(nearest)) or "")
end

--- Something stands where only a script may: most often a command without its "--".
local function stray_in(title, given)
  local stray = given.stray and given.stray[1]
  return stray and ('too many arguments: %s; a command stands behind "--": %s %s -- %s'):format(
    text.quote(stray), title, given.script, table.concat(given.stray, " "))
end

--- Reads arguments with a parser. Without a result the command is over, with this code.
---@param make fun(): table  the parser
---@param title string  of the command, for complaints
---@param help string   the command line that explains it
---@param args string[]
---@return table? given
---@return integer? exit_code
function M.read(make, title, help, args)
  local parser, asked_help = make(), false
  parser:add_help {
    action = function()
      asked_help = true
      error("", 0) -- leaves the parser, before it misses arguments
    end,
  }
  local ok, done, given = pcall(parser.pparse, parser, args)
  if asked_help then
    core.write(1, make():get_help() .. "\n")
    return nil, 0
  elseif not ok then
    error(done, 0)
  end
  local wrong = not done and complaint(tostring(given), args) or done and stray_in(title, given)
  if wrong then
    core.write(2, ("%s: %s\n%s\nTry: %s\n"):format(title, wrong, parser:get_usage(), help))
    return nil, EXIT_USAGE
  end
  return given
end

--- Reads the arguments of a command. Without a result the command is over, with this code.
---@param name string
---@param args string[]
---@return table? given
---@return integer? exit_code
function M.parse(name, args)
  local given = plain.read(M.describe[name], args)
  if given then
    return given
  end
  return M.read(function() return new_parser(name) end, "konductor " .. name, "konductor help " .. name, args)
end

--- All commands in one parser, for completions.
function M.all(commands)
  local parser = require "argparse"("konductor", "Coordinates replicas: once, in order, one leader.")
  parser:command_target "command"
  for _, name in ipairs(commands) do
    local command = parser:command(name)
    if M.describe[name] then
      M.describe[name](command)
    end
  end
  return parser
end

return M
