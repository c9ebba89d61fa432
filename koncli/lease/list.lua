--- `koncli lease list`.

local show = require "koncli.show"

---@type koncli.Verb
return {
  summary = "Shows every Lease of the namespace, one a line.",
  names = false,
  examples = [[
  koncli lease list
  koncli lease list -n prod -o name]],
  run = show.list,
}
