--- Reading the arguments of a verb: its own options and the global ones, which may also
--- stand before the noun or the verb.

local cli_args = require "konductor.cli.args"
local plain = require "konductor.cli.plain"
local spairs = require("konductor.text").spairs

local M = {}

--- Global options that take a value, by every spelling.
local VALUED = { ["--store"] = true, ["--namespace"] = true, ["-n"] = true, ["-o"] = true, ["--output"] = true,
  ["--log-level"] = true, ["--kubeconfig"] = true, ["--context"] = true }

--- Takes options off the front of the arguments.
---@param argv string[]
---@param from integer
---@param taken string[]  they are appended here
---@return integer from   where the first word stands
function M.hoist(argv, from, taken)
  while argv[from] and argv[from]:find("^%-.") do
    local option = argv[from]
    taken[#taken + 1], from = option, from + 1
    if VALUED[option] and argv[from] then
      taken[#taken + 1], from = argv[from], from + 1
    end
  end
  return from
end

---@class koncli.Verb            a module koncli.NOUN.VERB
---@field summary string         one line
---@field formats? string[]      of -o; default: text, json, yaml, name
---@field names boolean          whether it takes a NAME
---@field describe? fun(parser: table)  its own options
---@field environment? {token?: boolean, timeout?: boolean}  options that the environment may give
---@field check? fun(options: table): string?  what is wrong with them, after they were read
---@field runs? boolean          whether a command stands behind "--"
---@field examples string        for its help
---@field run fun(command: koncli.Command, options: table): integer  returns the exit code

local function describe(parser, verb)
  parser:description(verb.summary)
  if verb.names then
    parser:argument("name"):args(1):description("Of the object.")
  end
  if verb.describe then
    verb.describe(parser)
  end
  cli_args.add_store_options(parser)
  parser:option("-o --output"):choices(verb.formats or { "text", "json", "yaml", "name" }):default "text"
    :description("The form of the answer.")
  parser:option("--log-level"):choices { "error", "warn", "info", "debug" }
    :description("What is said on standard error besides. Default: warn.")
  parser:flag("-v --verbose"):description("As --log-level debug.")
  parser:flag("-q --quiet"):description("No answer but the exit code and, on standard error, what went wrong.")
end

---@param title string  "once status"
---@param verb koncli.Verb
local function new_parser(title, verb)
  local parser = require "argparse"("koncli " .. title)
  parser:help_max_width(100):usage_max_width(100)
  describe(parser, verb)
  parser:epilog("Examples:\n" .. verb.examples)
  return parser
end

--- All commands that have options in one parser, for completions and pages.
---@param verbs table<string, string[]>  by noun
---@param of_store string[]              commands without a verb that take the options of the store
---@return table parser
function M.all(verbs, of_store)
  local parser = require "argparse"("koncli", "Looks at what konductor coordinates, and mends it.")
  for noun, list in spairs(verbs) do
    local command = parser:command(noun)
    for _, name in ipairs(list) do
      describe(command:command(name), require(("koncli.%s.%s"):format(noun, name)))
    end
  end
  for _, word in ipairs(of_store) do
    describe(parser:command(word), require("koncli." .. word))
  end
  return parser
end

---@param title string
---@param verb koncli.Verb
---@return string
function M.help(title, verb)
  return new_parser(title, verb):get_help() .. "\n"
end

--- Without a result the command is over, with this code.
---@param title string
---@param verb koncli.Verb
---@param argv string[]
---@return table? options
---@return integer? exit_code
function M.parse(title, verb, argv)
  local given = plain.read(function(parser) describe(parser, verb) end, argv)
  if given then
    return given
  end
  local function make()
    return new_parser(title, verb)
  end
  return cli_args.read(make, "koncli " .. title, "koncli help " .. title, argv)
end

return M
