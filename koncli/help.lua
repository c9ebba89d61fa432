--- `koncli help [NOUN [VERB]]`.

local core = require "konductor.core"
local exit = require "koncli.exit"

local M = {}

M.OVERVIEW = [[
koncli: looks at what konductor coordinates, and mends it.

  koncli once status NAME                      where it is, and what to do about it
  koncli once list                             all of the namespace
  koncli once check NAME                       has it been executed?
  koncli once reset NAME                       lets it run again
  koncli once resolve NAME --ran|--not-run     settles at-most-once work that is in doubt
  koncli once delete NAME                      removes the record
  koncli lease status NAME                     who holds it, until when, who waits
  koncli lease list                            all of the namespace
  koncli version                               this program
  koncli completion bash|zsh|fish              completions for a shell
  koncli help NOUN VERB                        options and examples of one command

Every command takes --store, -n NAMESPACE and -o text|json|name, and on Kubernetes --kubeconfig
and --context; KONDUCTOR_STORE, KONDUCTOR_NAMESPACE and KUBECONFIG stand for those of their names.

Exit codes: 0 done, 1 error, 2 not found, 4 permission denied, 5 not available (claimed),
64 wrong arguments.
]]

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local main = require "koncli.main"
  local noun, verb = argv[1], argv[2]
  if not noun or (main.is_word(noun) and not (verb and main.VERBS[noun])) then
    core.write(1, M.OVERVIEW)
    return exit.OK
  end
  local wrong = main.unknown(noun, verb)
  if wrong then
    return main.complain(wrong)
  end
  core.write(1, require("koncli.args").help(noun .. " " .. verb, require(("koncli.%s.%s"):format(noun, verb))))
  return exit.OK
end

return M
