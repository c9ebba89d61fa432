--- The options of `konductor crds`.

---@param parser table
return function(parser)
  parser:description("Prints the CustomResourceDefinitions of konductor.io/v1, needed by the store kube.")
  parser:option("-o --output"):choices { "yaml", "json" }:default "yaml"
    :description("The form of the answer.")
  parser:epilog [[
Example:
  konductor crds | kubectl apply -f -]]
end
