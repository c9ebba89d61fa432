--- `konductor completion SHELL`.
---
--- The parser writes the script for its shell; the built-in scripts, which `run`, `plan` and `rbac` take besides files, are added
--- to it here.

local args = require "konductor.cli.args"
local core = require "konductor.core"

local M = {}

local ADD = {}

-- "@" separates words for the line editor of bash, so the word is taken from the line, and what stands before the
-- editor's own word is left out of the answer.
local BASH = [=[

_konductor_scripts() {
    _konductor
    local word="${COMP_LINE:0:COMP_POINT}"
    word="${word##* }"
    case "${COMP_WORDS[1]}$word" in
        run|run@*|plan|plan@*|rbac|rbac@*)
            COMPREPLY=($(compgen -W "NAMES" -- "$word") $(compgen -f -- "$word"))
            if [[ "$word" = @* && "$COMP_WORDBREAKS" = *@* ]]; then
                COMPREPLY=("${COMPREPLY[@]#@}")
            fi
            ;;
    esac
}

complete -F _konductor_scripts -o bashdefault -o default konductor
]=]

function ADD.bash(completion, names)
  return completion .. BASH:gsub("NAMES", names)
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
  return (body:gsub("^#compdef[^\n]*\n", function(first) return first .. ZSH:gsub("NAMES", names) end))
end

local FISH = "complete -c konductor -n '__fish_konductor_seen_command %s' -a '%s' -d 'Built-in script'\n"

function ADD.fish(completion, names)
  return completion .. FISH:format("run", names) .. FISH:format("plan", names) .. FISH:format("rbac", names)
end

---@param given string[]
---@return integer exit_code
function M.run(given)
  local options, code = args.parse("completion", given)
  if not options then
    return code
  end
  local parser = require("konductor.cli.parser").all(require("konductor.cli.main").commands, args.options_of)
  local scripts = core.embedded_list()
  table.sort(scripts)
  return require "konductor.cli.say"("konductor completion", (ADD[options.shell](
    parser["get_" .. options.shell .. "_complete"](parser), "@" .. table.concat(scripts, " @"))))
end

return M
