--- `koncli help [NOUN [VERB]]`.

local say = require "konductor.cli.say"

local M = {}

local TITLE = "koncli help"

M.OVERVIEW = [[
koncli: checks and simple operations from a shell, on what konductor coordinates.

  koncli once check NAME                       has it been executed?
  koncli once run NAME -- COMMAND...           runs it unless it has been executed; others wait
  koncli once claim NAME                       the same in steps: claim, then
  koncli once done NAME                          it ended well
  koncli once fail NAME                          it did not; the next one tries
  koncli once create NAME                      makes one that nobody has executed
  koncli once status NAME                      where it is, and what to do about it
  koncli once list                             all of the namespace
  koncli once reset NAME                       lets it run again
  koncli once resolve NAME --ran|--not-run     settles at-most-once work that is in doubt
  koncli once delete NAME                      removes the record

  koncli lease run NAME -- COMMAND...          runs it while holding, renews, releases
  koncli lease acquire NAME                    the same in steps: takes it for a time, then
  koncli lease renew NAME                        for another time
  koncli lease release NAME                      gives it up; --force: takes it from its holder
  koncli lease create NAME                     makes one that nobody holds
  koncli lease status NAME                     who holds it, until when, who waits
  koncli lease list                            all of the namespace
  koncli lease delete NAME                     removes the record

  koncli status [--watch]                      all of the namespace at a glance, and what to do
  koncli version [-o json]                     this program
  koncli completion bash|zsh|fish              completions for a shell
  koncli help NOUN VERB                        options and examples of one command

Every command takes --store, -n NAMESPACE and -o text|json|yaml|name, and on Kubernetes --kubeconfig
and --context; KONDUCTOR_STORE, KONDUCTOR_NAMESPACE and KUBECONFIG stand for those of their names,
KONDUCTOR_HOLDER_ID, KONDUCTOR_TOKEN and KONDUCTOR_TIMEOUT for --holder, --token and --timeout.

Exit codes: 0 done, 1 error, 2 not found, 3 waited too long, 4 permission denied, 5 not available
(held by another, not yours, claimed), 64 wrong arguments; run: that of its command, 124 its time limit.
]]

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local main = require "koncli.main"
  local noun, verb = argv[1], argv[2]
  if noun and main.is_of_store(noun) and not verb then
    return say(TITLE, require("koncli.args").help(noun, require("koncli." .. noun)))
  elseif not noun or (main.is_word(noun) and not (verb and main.VERBS[noun])) then
    return say(TITLE, M.OVERVIEW)
  end
  local wrong = main.unknown(noun, verb)
  if wrong then
    return main.complain(wrong)
  end
  return say(TITLE, require("koncli.args").help(noun .. " " .. verb, require(("koncli.%s.%s"):format(noun, verb))))
end

return M
