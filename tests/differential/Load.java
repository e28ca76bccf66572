// Two threads that compute for ever, with interpreted, compiled and native frames on their stacks.
import java.util.*;

public class Load {
	static int depth(int n, Map<String, Integer> counts)
	{
		if (n > 0)
			return depth(n - 1, counts) + 1;
		counts.merge("k" + counts.size() % 777, 1, Integer::sum);
		return counts.size();
	}

	static void work()
	{
		Map<String, Integer> counts = new HashMap<>();
		long sum = 0;

		for (;;) {
			List<String> words = new ArrayList<>();

			sum += depth(7, counts);
			for (int i = 0; i < 50; i++)
				words.add("x" + (i * 7919 + sum) % 1000);
			Collections.sort(words);
			sum += String.join(",", words).hashCode();
		}
	}

	public static void main(String[] arguments)
	{
		new Thread(Load::work).start();
		new Thread(Load::work).start();
	}
}
