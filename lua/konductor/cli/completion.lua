--- `konductor completion SHELL`.
---
--- The parser writes the script for its shell; the built-in scripts, which `run`, `plan`, `sim` and `rbac` take besides
--- files, are added to it here.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local parsers = require "konductor.cli.parser"
local text = require "konductor.text"

local M = {}

local SHELLS = { "bash", "zsh", "fish" }

local ADD = {}

-- "@" separates words for the line editor of bash, so the word is taken from the line, and what stands before the
-- editor's own word is left out of the answer. Behind "--" stands a command of the user's: left to what bash does itself.
local BASH = [=[

_konductor_scripts() {
    _konductor
    local line="${COMP_LINE:0:COMP_POINT}" word words
    word="${line##* }"
    read -ra words <<< "${line%"$word"}"
    case " ${words[*]} " in
        *" -- "*) COMPREPLY=(); return ;;
    esac
    case "${words[${#words[@]} - 1]}" in
        VALUED) return ;;
    esac
    case "${words[1]}$word" in
        run|run@*|plan|plan@*|sim|sim@*|rbac|rbac@*)
            COMPREPLY=($(compgen -W "NAMES" -- "$word") $(compgen -f -- "$word"))
            ;;
        help|help@*)
            COMPREPLY+=($(compgen -W "NAMES" -- "$word"))
            ;;
    esac
    if [[ "$word" = @* && "$COMP_WORDBREAKS" = *@* ]]; then
        COMPREPLY=("${COMPREPLY[@]#@}")
    fi
}

complete -F _konductor_scripts -o bashdefault -o default konductor
]=]

function ADD.bash(completion, names, parser)
  local valued = {}
  for option in text.spairs(parsers.valued(parser)) do
    valued[#valued + 1] = option
  end
  return completion .. BASH:gsub("NAMES", names):gsub("VALUED", table.concat(valued, "|"))
end

local ZSH = [[

_konductor_script() {
  local -a scripts=(NAMES)
  _describe "built-in script" scripts
  _files
}
]]

function ADD.zsh(completion, names)
  local body = completion:gsub('": :_files" (\\\n%s*"%*: :_files")', '": :_konductor_script" %1')
  body = body:gsub("(_konductor_help_cmds%(%) {%s+local %-a commands=%()", "%1" .. names)
  return (body:gsub("^#compdef[^\n]*\n", function(first) return first .. ZSH:gsub("NAMES", names) end))
end

local FISH = "complete -c konductor -n '__fish_konductor_seen_command %s' -a '%s' -d 'Built-in script'\n"

function ADD.fish(completion, names)
  local lines = { completion }
  for _, command in ipairs { "run", "plan", "sim", "rbac", "help" } do
    lines[#lines + 1] = FISH:format(command, names)
  end
  return table.concat(lines)
end

-- All commands, with the words that stand behind some of them.
local function every_command()
  local commands = require("konductor.cli.main").commands
  local words = { help = { "scripts", unpack(commands) }, completion = SHELLS }
  return parsers.all(commands, function(name)
    return words[name] and function(command) parsers.words(command, words[name]) end or args.options_of(name)
  end)
end

---@param given string[]
---@return integer exit_code
function M.run(given)
  local options, code = args.parse("completion", given)
  if not options then
    return code
  end
  local scripts = core.embedded_list()
  table.sort(scripts)
  for i, name in ipairs(scripts) do
    scripts[i] = "@" .. name
  end
  local parser = every_command()
  return require "konductor.cli.say"("konductor completion", (ADD[options.shell](
    parser["get_" .. options.shell .. "_complete"](parser), table.concat(scripts, " "), parser)))
end

return M
