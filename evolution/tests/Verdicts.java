// Asks Avro's Java implementation about every pair of schemas in the file that is its argument, and
// prints the file with its answers: for "backward" what keeps the new schema from reading what the
// old one wrote, for "forward" the reverse. Run by tests/verdicts.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.Incompatibility;

class Verdicts {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (JsonNode pair : JSON.readTree(new File(arguments[0]))) {
            ObjectNode asked = (ObjectNode) pair;
            Schema old = parse(pair.get("old"));
            Schema fresh = parse(pair.get("new"));
            asked.set("backward", findings(fresh, old));
            asked.set("forward", findings(old, fresh));
            lines.append(lines.isEmpty() ? "[\n  " : ",\n  ").append(JSON.writeValueAsString(asked));
        }
        System.out.println(lines.append("\n]"));
    }

    private static Schema parse(JsonNode schema) {
        return new Schema.Parser().parse(schema.toString());
    }

    private static ArrayNode findings(Schema reader, Schema writer) {
        ArrayNode findings = JSON.createArrayNode();
        SchemaCompatibility.checkReaderWriterCompatibility(reader, writer)
                .getResult()
                .getIncompatibilities()
                .stream()
                .map(found -> found.getType() + " " + found.getLocation())
                .forEach(findings::add);
        return findings;
    }
}
