import java.lang.reflect.Field;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.main.ServerRunner;
import software.amazon.dynamodb.services.local.server.DynamoDBProxyServer;

/** DynamoDB Local on 127.0.0.1 only: it has no option for the address, and listens on every interface by itself. */
public final class LoopbackDynamoDBLocal {
    public static void main(String[] arguments) throws Exception {
        DynamoDBProxyServer engine = ServerRunner.createServerFromCommandLineArgs(arguments);
        Field field = DynamoDBProxyServer.class.getDeclaredField("server");
        field.setAccessible(true);
        for (Connector connector : ((Server) field.get(engine)).getConnectors()) {
            ((ServerConnector) connector).setHost("127.0.0.1");
        }
        // safeStart starts without sending usage data; ServerRunner.main would ask for an option to keep it off.
        engine.safeStart();
        engine.join();
    }
}
