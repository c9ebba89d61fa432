--- The commands of konductor and of koncli as data, and as a page.
---
--- The source is what the programs' own parsers are told (lua/konductor/cli/options/, koncli/), so the page, `help` and
--- the completions cannot say different things. What the C core does is not needed for that: a stand-in that does nothing
--- takes its place while the modules are loaded.

local M = {}

local HEAD = [[
# Every command and its options

What `konductor help COMMAND` and `koncli help NOUN VERB` print, on one page. This page is made from the programs by
`tools/man/main.lua`; what is behind the options is told by the pages on [konductor](cli.md) and [koncli](koncli.md).
]]

package.preload["konductor.core"] = function()
  return setmetatable({}, { __index = function() return function() end end })
end

-- The lines of an overview, in its order: each with its first word, as it is written, and what is said of it.
---@return {word: string, line: string, said: string}[]
local function words_of(overview, program)
  local list = {}
  for line, said in overview:gmatch("\n  (" .. program .. " [^\n]-)%s%s+([^\n]+)") do
    list[#list + 1] = { word = line:match " (%l+)", line = line, said = said }
  end
  return list
end

local function argname(option)
  if option._choices then
    return table.concat(option._choices, "|")
  end
  local given = option._argname
  return type(given) == "table" and given[1] or given
end

local function read_option(option)
  local names = {}
  for i, alias in ipairs(option._aliases) do
    names[i] = alias
  end
  table.sort(names, function(a, b) return #a < #b end)
  local said = option._description or ""
  if option._default then
    said = ("%s Default: %s."):format(said, option._default)
  end
  return { names = names, value = option._maxargs > 0 and argname(option) or nil, said = said }
end

-- "Examples:" of an epilog: {command, what it shows}; a line that is far to the right goes on with what was said.
local function read_examples(paragraph)
  local list = {}
  for line in paragraph:gmatch "[^\n]+" do
    local command, said = line:match "^  (%S.-)%s%s+(%S.*)$"
    command = command or line:match "^  (%S.-)%s*$"
    if command then
      list[#list + 1] = { command = command, said = said }
    elseif list[1] and line:find "^   " then
      list[#list].said = list[#list].said .. " " .. line:match "^%s*(.-)$"
    end
  end
  return list
end

local function read_epilog(entry, epilog)
  entry.notes, entry.examples = {}, {}
  for paragraph in ((epilog or "") .. "\n\n"):gmatch "(.-)\n\n+" do
    if paragraph:find "^Examples?:" then
      entry.examples = read_examples(paragraph)
    elseif paragraph ~= "" then
      table.insert(entry.notes, paragraph)
    end
  end
end

local function read_parser(title, parser)
  local entry = { title = title, said = parser._description, options = {}, arguments = {} }
  for _, option in ipairs(parser._options) do
    if option._aliases[1] ~= "-h" then
      table.insert(entry.options, read_option(option))
    end
  end
  for _, argument in ipairs(parser._arguments) do
    if not argument._hidden then
      table.insert(entry.arguments, {
        name = argument._name, said = argument._description or argname(argument), optional = argument._minargs == 0,
      })
    end
  end
  read_epilog(entry, parser._epilog)
  entry.command = (parser._usage or ""):match "%[?%-%- COMMAND%.%.%.%]?$"
  return entry
end

-- A command of which only the overview tells.
local function bare(title, each)
  return { title = title, usage = each.line, said = each.said:gsub("^%l", string.upper) .. ".", options = {},
    arguments = {}, notes = {}, examples = {} }
end

local function konductor_commands()
  local args = require "konductor.cli.args"
  local list = {}
  for _, each in ipairs(words_of(require("konductor.cli.help").overview(), "konductor")) do
    local describe = args.options_of(each.word)
    local title = "konductor " .. each.word
    if describe then
      table.insert(list, read_parser(title, require("konductor.cli.parser").new(each.word, describe)))
    elseif not (list[#list] and list[#list].title == title) then
      table.insert(list, bare(title, each))
    end
  end
  return list
end

-- Leaves of the tree of koncli's parser, with the examples of their modules.
local function koncli_verbs(parser, title, module, list)
  for _, command in ipairs(parser._commands) do
    local name = command._name
    local own_title, own_module = title .. " " .. name, module .. "." .. name
    if command._commands[1] then
      koncli_verbs(command, own_title, own_module, list)
    else
      local entry = read_parser(own_title, command)
      read_epilog(entry, "Examples:\n" .. require(own_module).examples)
      table.insert(list, entry)
    end
  end
  return list
end

local function koncli_commands()
  local main = require "koncli.main"
  local list = koncli_verbs(require("koncli.args").all(main.VERBS, main.OF_STORE), "koncli", "koncli", {})
  for _, each in ipairs(words_of(require("koncli.help").OVERVIEW, "koncli")) do
    if not main.VERBS[each.word] and not main.is_of_store(each.word) then
      table.insert(list, bare("koncli " .. each.word, each))
    end
  end
  return list
end

local function names_of(option)
  return table.concat(option.names, ", ")
end

local function find(options, name)
  for _, option in ipairs(options) do
    if names_of(option) == name then
      return option
    end
  end
end

local function is_everywhere(entries, name)
  for _, entry in ipairs(entries) do
    if entry.options[1] and not find(entry.options, name) then
      return false
    end
  end
  return true
end

-- Takes the options out that all entries with options have. Where one differs in what it takes, it stays.
local function take_common(entries)
  local common = {}
  for _, option in ipairs(entries[1].options) do
    common[#common + 1] = is_everywhere(entries, names_of(option)) and option or nil
  end
  for _, entry in ipairs(entries) do
    entry.takes_common = entry.options[1] ~= nil
    local own = {}
    for _, option in ipairs(entry.options) do
      local its = find(common, names_of(option))
      own[#own + 1] = not (its and its.value == option.value) and option or nil
    end
    entry.options = own
  end
  return common
end

-- Page -----------------------------------------------------------------------------------

-- Code looks like code: what stands in quotes, variables, options. What is code already is out of reach of the next.
local function marked(said)
  local codes = {}
  local function hide(code)
    codes[#codes + 1] = "`" .. code .. "`"
    return ("\1%d\2"):format(#codes)
  end
  local text = said:gsub('"[^"%s]+"', hide):gsub("%$%u[%u%d_]*", hide):gsub("%f[%-%w]%-%-[%l%-]+=?[%-%d]*", hide)
  text = text:gsub("|", "\\|"):gsub("\1(%d+)\2", function(number)
    return (codes[tonumber(number)]:gsub("|", "\\|"))
  end)
  return text
end

M.marked = marked

local function spelled(option)
  local words = {}
  for i, name in ipairs(option.names) do
    words[i] = ("`%s%s`"):format(name, option.value and " " .. option.value:gsub("|", "\\|") or "")
  end
  return table.concat(words, ", ")
end

local function add_table(out, options)
  out[#out + 1] = "\n| option | |\n|---|---|"
  for _, option in ipairs(options) do
    out[#out + 1] = ("| %s | %s |"):format(spelled(option), marked(option.said))
  end
end

local function usage(entry)
  if entry.usage then
    return entry.usage
  end
  local words = { entry.title }
  for _, argument in ipairs(entry.arguments) do
    words[#words + 1] = (argument.optional and "[%s]" or "%s"):format(argument.name:upper())
  end
  words[#words + 1] = (entry.options[1] or entry.takes_common) and "[OPTIONS]" or nil
  words[#words + 1] = entry.command
  return table.concat(words, " ")
end

local function add_note(out, note)
  if note:find "\n " then
    out[#out + 1] = "\n```text\n" .. note .. "\n```"
  else
    out[#out + 1] = "\n" .. marked(note)
  end
end

local function add_command(out, entry)
  out[#out + 1] = ("\n### %s\n%s\n\n`%s`"):format(entry.title, marked(entry.said), usage(entry))
  for i, argument in ipairs(entry.arguments) do
    out[#out + 1] = ("%s- `%s`: %s"):format(i == 1 and "\n" or "", argument.name:upper(), marked(argument.said))
  end
  if entry.options[1] then
    add_table(out, entry.options)
  end
  for _, note in ipairs(entry.notes) do
    add_note(out, note)
  end
  for i, example in ipairs(entry.examples) do
    out[#out + 1] = ("%s- `%s`%s"):format(i == 1 and "\nExamples:\n" or "", example.command,
      example.said and ": " .. marked(example.said) or "")
  end
end

--- The text of the page.
---@return string
function M.page()
  local out = { HEAD, "## konductor" }
  for _, entry in ipairs(konductor_commands()) do
    add_command(out, entry)
  end
  local entries = koncli_commands()
  out[#out + 1] = "\n## koncli\nOf every command that takes OPTIONS:"
  add_table(out, take_common(entries))
  for _, entry in ipairs(entries) do
    add_command(out, entry)
  end
  return table.concat(out, "\n") .. "\n"
end

return M
