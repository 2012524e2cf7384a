// Addresses are relative, so that the page works below a prefix too.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  defaultModelsExpandDepth: 0,
  // Keys stay in this tab and end with it.
  persistAuthorization: false,
  // Otherwise the document would be sent to a validator elsewhere.
  validatorUrl: null,
});
