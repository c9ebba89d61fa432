--- `koncli completion SHELL`.
---
--- The parser writes the script for its shell; the names of objects, which only the store knows, are added to it here:
--- the shell asks `koncli NOUN list -o name` for them, in the place that the line names so far.

local parsers = require "konductor.cli.parser"
local say = require "konductor.cli.say"
local spairs = require("konductor.text").spairs

local M = {}

local ADD = {}

local BASH = [=[

_koncli_names() {
    _koncli
    local i word noun="" verb="" name="" skip="" cur="${COMP_WORDS[COMP_CWORD]}" place=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if [[ -n "$skip" ]]; then
            case "$skip" in
                --store|-n|--namespace|--kubeconfig|--context) place+=("$skip" "$word") ;;
            esac
            skip=""
        else
            case "$word" in
                VALUED) skip="$word" ;;
                --) return ;;
                -*) ;;
                *)
                    if [[ -z "$noun" ]]; then noun="$word"
                    elif [[ -z "$verb" ]]; then verb="$word"
                    else name="$word"
                    fi
                    ;;
            esac
        fi
    done
    case "$noun $verb" in
        WITH_NAMES) ;;
        *) return ;;
    esac
    if [[ -z "$skip$name" && "$cur" != -* ]]; then
        word="$(koncli "$noun" list -o name "${place[@]}" 2>/dev/null | sed -n 's|^.*/\([a-z0-9.-]*\)$|\1|p')"
        COMPREPLY=($(compgen -W "$word" -- "$cur"))
    fi
}

complete -F _koncli_names -o bashdefault -o default koncli
]=]

-- Every verb that takes the name of an object that is there, as "NOUN VERB".
local function verbs_with_names(verbs)
  local list = {}
  for _, noun in ipairs { "lease", "once" } do
    for _, verb in ipairs(verbs[noun]) do
      if verb ~= "create" and require(("koncli.%s.%s"):format(noun, verb)).names then
        list[#list + 1] = noun .. " " .. verb
      end
    end
  end
  return list
end

function ADD.bash(completion, verbs, parser)
  local quoted, valued = {}, {}
  for i, words in ipairs(verbs_with_names(verbs)) do
    quoted[i] = '"' .. words .. '"'
  end
  for option in spairs(parsers.valued(parser)) do
    valued[#valued + 1] = option
  end
  return completion .. BASH:gsub("VALUED", table.concat(valued, "|")):gsub("WITH_NAMES", table.concat(quoted, "|"))
end

local ZSH = [=[

_koncli_names() {
  local option
  local -a place names
  for option in --store -n --namespace --kubeconfig --context; do
    [[ -n "${opt_args[$option]}" ]] && place+=($option "${opt_args[$option]}")
  done
  names=(${(f)"$(koncli $1 list -o name $place 2>/dev/null)"})
  names=(${names##*/})
  _describe name names
}
]=]

-- The place of the NAME is the one argument of a verb that the parser takes for a file. The blank before the function keeps
-- zsh from putting words of its own between it and the noun.
function ADD.zsh(completion)
  local noun, verb
  local out = {}
  for line in completion:gmatch "([^\n]*)\n" do
    noun = line:match "^    (%w+)%)$" or noun
    verb = line:match "^        (%w+)%)$" or verb
    if verb ~= "create" and line:find '^%s+": :_files" \\$' then
      line = line:gsub("_files", " _koncli_names " .. noun)
    end
    out[#out + 1] = line
    if line:find "^#compdef" then
      out[#out + 1] = ZSH
    end
  end
  return table.concat(out, "\n") .. "\n"
end

local FISH = "complete -c koncli -n '__fish_koncli_using_command %s' -f "
  .. "-a '(koncli %s list -o name 2>/dev/null | string replace -r \".*/\" \"\")' -d 'Object'\n"

function ADD.fish(completion, verbs)
  local lines = {}
  for i, words in ipairs(verbs_with_names(verbs)) do
    lines[i] = FISH:format(words, words:match "^%w+")
  end
  return completion .. table.concat(lines)
end

-- All commands, with the words that stand behind some of them.
local function every_command(main)
  local parser = require("koncli.args").all(main.VERBS, main.OF_STORE)
  parser:command "version"
  parsers.words(parser:command "completion", { "bash", "zsh", "fish" })
  local help = parser:command "help"
  for noun, verbs in spairs(main.VERBS) do
    parsers.words(help:command(noun), verbs)
  end
  parsers.words(help, main.OF_STORE)
  return parser
end

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local main = require "koncli.main"
  local shell = argv[1]
  if #argv ~= 1 or not ADD[shell] then
    return main.complain "completion takes one shell: bash, zsh or fish"
  end
  local parser = every_command(main)
  return say("koncli completion", (ADD[shell](parser["get_" .. shell .. "_complete"](parser), main.VERBS, parser)))
end

return M
